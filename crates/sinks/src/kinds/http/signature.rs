//! Signatures of Standard Webhooks: HMAC-SHA256 over the id, the time and the payload.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The prefix of a key that is written in base64.
const BASE64_PREFIX: &str = "whsec_";

/// The value of `webhook-signature`, or why the key cannot be used.
pub(super) fn sign(key: &str, id: &str, timestamp: i64, payload: &[u8]) -> Result<String, &'static str> {
    let decoded;
    let key = match key.strip_prefix(BASE64_PREFIX) {
        Some(text) => {
            decoded = STANDARD.decode(text).map_err(|_| "the signing key after whsec_ is not base64")?;
            &decoded[..]
        }
        None => key.as_bytes(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| "the signing key cannot be used")?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(payload);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::sign;

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let payload = br#"{"test": 2432232314}"#;
        let signed = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, payload);
        assert_eq!(signed.as_deref(), Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert!(sign("whsec_?", "a", 1, b"").is_err());
    }
}

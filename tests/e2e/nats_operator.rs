//! Accounts of NATS that an operator has signed, and the credentials of a user.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Writes the credentials of a user to a file. Returns lines of the server's configuration: it knows the
/// account of the user, which has JetStream, and no users of its own.
pub(crate) fn operator(credentials: &Path) -> String {
    let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let user = KeyPair::new_user();
    let unlimited = |names: &[&str]| -> Value { names.iter().map(|name| ((*name).to_owned(), json!(-1))).collect() };
    let limits = ["subs", "data", "payload", "imports", "exports", "conn", "leaf"];
    let storage = ["mem_storage", "disk_storage", "streams", "consumer"];
    let of_account = |limits: &[&str]| {
        let mut limits = unlimited(limits);
        limits["wildcards"] = true.into();
        json!({ "type": "account", "version": 2, "limits": limits })
    };
    let signed = |of: &KeyPair, by: &KeyPair, claims: Value| token(of, by, &claims);
    let operator_token = signed(&operator, &operator, json!({ "type": "operator", "version": 2 }));
    let system_token = signed(&system, &operator, of_account(&limits));
    let account_token = signed(&account, &operator, of_account(&[&limits[..], &storage].concat()));
    let mut of_user = unlimited(&["subs", "data", "payload"]);
    of_user["type"] = "user".into();
    of_user["version"] = 2.into();
    let user_token = signed(&user, &account, of_user);
    let seed = user.seed().expect("a seed");
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    fs::write(credentials, text).expect("written");
    let (system, account) = (system.public_key(), account.public_key());
    format!(
        "operator: {operator_token}\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload {{ {system}: {system_token}, {account}: {account_token} }}\n"
    )
}

/// A JWT about a key, signed by another one, as NATS has it.
fn token(of: &KeyPair, by: &KeyPair, claims: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let body = json!({
        "jti": of.public_key(), "iat": now, "iss": by.public_key(), "name": "e2e", "sub": of.public_key(), "nats": claims,
    });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&body));
    let signature = by.sign(text.as_bytes()).expect("a signature");
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

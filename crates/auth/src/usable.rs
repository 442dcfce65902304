//! Checks whether credentials can be keys at all.

use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;
use dynacrawl_aws::{AwsError, ErrorClass};

/// Refuses values that cannot be keys. They become part of each request's headers, where a line
/// break is impossible and a blank makes a signature that no service accepts. The values themselves
/// are never shown.
pub(crate) fn check(credentials: &Credentials) -> Result<(), AwsError> {
    let parts = [
        ("access key id", Some(credentials.access_key_id())),
        ("secret access key", Some(credentials.secret_access_key())),
        ("session token", credentials.session_token()),
    ];
    for (part, value) in parts {
        let problem = match value {
            // A container's credentials may have an empty token, which counts as none.
            Some("") if part != "session token" => "is empty",
            Some(value) if !value.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "contains a blank, a line break or another character that no key has"
            }
            _ => continue,
        };
        let from = origin(credentials).map(|origin| format!(" from {origin}")).unwrap_or_default();
        let message = format!("the {part}{from} {problem}: set it again");
        return Err(AwsError::new(ErrorClass::NoCredentials, "no_credentials", message));
    }
    Ok(())
}

/// Where the SDK got the credentials, if it recorded that.
fn origin(credentials: &Credentials) -> Option<&'static str> {
    let features = credentials.get_property::<Vec<Feature>>()?;
    features.iter().find_map(|feature| match feature {
        Feature::CredentialsEnvVars => {
            Some("the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN)")
        }
        Feature::CredentialsProcess | Feature::CredentialsProfileProcess => Some("the profile's credential_process"),
        Feature::CredentialsProfile | Feature::CredentialsProfileSourceProfile => Some("the profile"),
        Feature::CredentialsHttp => Some("the container's credentials endpoint"),
        Feature::CredentialsImds => Some("the instance's metadata service"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;
    use dynacrawl_aws::ErrorClass;

    use super::check;

    #[test]
    fn empty_keys_and_those_with_blanks_or_line_breaks_are_refused() {
        let keys = |id: &str, secret: &str, token: Option<&str>| {
            check(&Credentials::new(id, secret, token.map(str::to_owned), None, "test"))
        };
        assert_eq!(keys("AKIAEXAMPLE", "wJalr/+K7=", Some("token/+=")), Ok(()));
        assert_eq!(keys("AKIAEXAMPLE", "wJalr/+K7=", Some("")), Ok(()));
        for (id, secret, token, part) in [
            ("", "secret", None, "access key id"),
            ("AKIA EXAMPLE", "secret", None, "access key id"),
            ("AKIAEXAMPLE\n", "secret", None, "access key id"),
            ("AKIAEXÄMPLE", "secret", None, "access key id"),
            ("AKIA", "", None, "secret access key"),
            ("AKIA", "hidden\r\n", None, "secret access key"),
            ("AKIA", " hidden", None, "secret access key"),
            ("AKIA", "secret", Some(" "), "session token"),
            ("AKIA", "secret", Some("hidden\u{7f}"), "session token"),
        ] {
            let error = keys(id, secret, token).expect_err(part);
            assert_eq!((error.class, &*error.code), (ErrorClass::NoCredentials, "no_credentials"));
            assert!(error.message.starts_with(&format!("the {part} ")), "{error}");
            assert!(!error.message.contains("hidden") && !error.message.contains("AKIA"), "{error}");
        }
    }

    #[test]
    fn the_message_names_the_source() {
        let mut credentials = Credentials::new("AKIA\n", "secret", None, None, "test");
        credentials.get_property_mut_or_default::<Vec<Feature>>().push(Feature::CredentialsEnvVars);
        let error = check(&credentials).expect_err("a line break");
        assert!(error.message.contains("from the environment (AWS_ACCESS_KEY_ID"), "{error}");
    }
}

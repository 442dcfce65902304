//! The parameters of the Query protocols of STS and EC2.

use crate::sigv4::percent_decode;

/// The parameters of a Query request.
#[derive(Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a form.
    pub(crate) fn parse(form: &[u8]) -> Self {
        let form = String::from_utf8_lossy(form);
        let decode = |text: &str| String::from_utf8_lossy(&percent_decode(text, true)).into_owned();
        let pairs = form.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The value of a parameter, if it was sent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The values of a list: `Name.1`, `Name.2` and so on.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|number| self.get(&format!("{name}.{number}"))).collect()
    }
}

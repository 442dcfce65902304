//! Values that only have to look random, derived from a text.

/// FNV-1a, from which everything in an estate is derived that only has to look random.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Text that looks random, derived from `seed`.
pub(crate) fn derived_text(prefix: &str, seed: &str, length: usize, alphabet: &[u8]) -> String {
    let mut rng = fastrand::Rng::with_seed(hash(seed) ^ length as u64);
    let tail = (0..length).map(|_| char::from(alphabet[rng.usize(..alphabet.len())]));
    prefix.chars().chain(tail).collect()
}

/// A UUID derived from `seed`.
pub(crate) fn derived_uuid(seed: &str) -> String {
    let mut rng = fastrand::Rng::with_seed(hash(seed));
    uuid_of(rng.u64(..), rng.u64(..))
}

/// A UUID of version 4 with the bits of two numbers.
pub(crate) fn uuid_of(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

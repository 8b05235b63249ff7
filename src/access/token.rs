//! Tokens: 256 random bits behind a prefix that scanners for secrets can look for, with a checksum that tells a token that
//! was cut or mistyped from one that is not known.
use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

pub(super) const PREFIX: &str = "gatherum_";

/// Hexadecimal digits of the secret, and of the checksum behind it.
const SECRET_LENGTH: usize = 64;
const CHECKSUM_LENGTH: usize = 8;

/// A token, as a client has it. It is shown once, when it is made; what is kept is its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random bits to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_LENGTH / 2];
        getrandom::fill(&mut secret)?;
        let secret = hex(&secret);
        Ok(Self(format!("{PREFIX}{secret}{}", checksum(&secret))))
    }

    /// The token that `text` is; none where it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (secret, given) = text.strip_prefix(PREFIX)?.split_at_checked(SECRET_LENGTH)?;
        let is_hex = secret.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (is_hex && given == checksum(secret)).then(|| Self(text.to_owned()))
    }

    /// The text, for the one who asked for it to be made.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// By what a token is known: looking it up by this compares nothing of the secret itself.
    ///
    /// There is nothing to guess among 2²⁵⁶, so that a hash made to be slow would be of no use.
    pub fn hash(&self) -> String {
        digest(&self.0)
    }
}

/// What opens a link: 256 random bits, in the alphabet of URLs. What is kept of it is its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken(String);

impl fmt::Debug for LinkToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LinkToken(…)")
    }
}

impl LinkToken {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random bits to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(secret)))
    }

    /// The text, for the one who asked for it to be made.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// By what it is known.
    pub fn hash(&self) -> String {
        Self::hash_of(&self.0)
    }

    /// By what the token that `text` may be is known.
    pub fn hash_of(text: &str) -> String {
        digest(text)
    }
}

fn checksum(secret: &str) -> String {
    format!("{:0CHECKSUM_LENGTH$x}", crc32fast::hash(secret.as_bytes()))
}

/// By what any text is known that nobody else may learn.
pub(super) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_again_and_never_shown() {
        let token = Token::generate().expect("random bits");

        assert_eq!(token.reveal().len(), PREFIX.len() + SECRET_LENGTH + CHECKSUM_LENGTH);
        assert_eq!(Token::parse(token.reveal()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_ne!(token, Token::generate().expect("random bits"));
        assert_ne!(token.hash(), Token::generate().expect("random bits").hash());
        assert_eq!(token.hash().len(), 64);
    }

    #[test]
    fn a_link_s_token_fits_into_a_path() {
        let token = LinkToken::generate().expect("random bits");

        assert_eq!(token.reveal().len(), 43);
        assert!(token.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(token.hash(), LinkToken::hash_of(token.reveal()));
        assert_ne!(token, LinkToken::generate().expect("random bits"));
        assert_eq!(format!("{token:?}"), "LinkToken(…)");
    }

    #[test]
    fn what_was_cut_or_mistyped_is_no_token() {
        let token = Token::generate().expect("random bits");
        let text = token.reveal();
        let mut wrong: Vec<String> = (0..text.len()).map(|place| text[..place].to_owned()).collect();
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            wrong.push(String::from_utf8(bytes).expect("ASCII"));
        }
        wrong.extend([format!("{text}0"), text.to_uppercase(), "gatherum_é".repeat(30)]);

        assert!(wrong.iter().all(|text| Token::parse(text).is_none()));
    }
}

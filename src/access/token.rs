//! Tokens: 256 random bits with a prefix, which secret scanners recognise, and a checksum, which distinguishes a mistyped
//! token from an unknown one.
use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

pub(super) const PREFIX: &str = "gatherum_";

/// Hexadecimal digits of the secret and of the checksum that follows it.
const SECRET_LENGTH: usize = 64;
const CHECKSUM_LENGTH: usize = 8;

/// An access token in plain text. It is shown once, when it is created; only its hash is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl Token {
    /// Generates a token.
    ///
    /// # Errors
    /// The operating system provides no random bits.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_LENGTH / 2];
        getrandom::fill(&mut secret)?;
        let secret = hex(&secret);
        Ok(Self(format!("{PREFIX}{secret}{}", checksum(&secret))))
    }

    /// Parses a token; `None` if the format or the checksum is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let (secret, given) = text.strip_prefix(PREFIX)?.split_at_checked(SECRET_LENGTH)?;
        let is_hex = secret.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (is_hex && given == checksum(secret)).then(|| Self(text.to_owned()))
    }

    /// The plain text, for the caller who created it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The SHA-256 hash that is stored and looked up, so that lookups never compare the secret itself.
    ///
    /// A slow password hash would add nothing: 256 random bits cannot be guessed.
    pub fn hash(&self) -> String {
        digest(&self.0)
    }
}

/// The secret of a share link: 256 random bits in URL-safe Base64. Only its hash is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken(String);

impl fmt::Debug for LinkToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LinkToken(…)")
    }
}

impl LinkToken {
    /// Generates a token.
    ///
    /// # Errors
    /// The operating system provides no random bits.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(secret)))
    }

    /// The plain text, for the caller who created it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash that is stored and looked up.
    pub fn hash(&self) -> String {
        Self::hash_of(&self.0)
    }

    /// The hash of a text that may be a token.
    pub fn hash_of(text: &str) -> String {
        digest(text)
    }
}

fn checksum(secret: &str) -> String {
    format!("{:0CHECKSUM_LENGTH$x}", crc32fast::hash(secret.as_bytes()))
}

/// The SHA-256 hash of a secret, in hexadecimal.
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
    fn a_token_can_be_parsed_and_is_not_printed() {
        let token = Token::generate().expect("random bits");

        assert_eq!(token.reveal().len(), PREFIX.len() + SECRET_LENGTH + CHECKSUM_LENGTH);
        assert_eq!(Token::parse(token.reveal()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_ne!(token, Token::generate().expect("random bits"));
        assert_ne!(token.hash(), Token::generate().expect("random bits").hash());
        assert_eq!(token.hash().len(), 64);
    }

    #[test]
    fn a_link_token_is_url_safe() {
        let token = LinkToken::generate().expect("random bits");

        assert_eq!(token.reveal().len(), 43);
        assert!(token.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(token.hash(), LinkToken::hash_of(token.reveal()));
        assert_ne!(token, LinkToken::generate().expect("random bits"));
        assert_eq!(format!("{token:?}"), "LinkToken(…)");
    }

    #[test]
    fn a_truncated_or_mistyped_token_is_rejected() {
        let token = Token::generate().expect("random bits");
        let text = token.reveal();
        let mut wrong: Vec<String> = (0..text.len()).map(|length| text[..length].to_owned()).collect();
        for index in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[index] = if bytes[index] == b'0' { b'1' } else { b'0' };
            wrong.push(String::from_utf8(bytes).expect("ASCII"));
        }
        wrong.extend([format!("{text}0"), text.to_uppercase(), "gatherum_é".repeat(30)]);

        assert!(wrong.iter().all(|text| Token::parse(text).is_none()));
    }
}

//! Content codings: those of request bodies, and those that clients accept (RFC 9110, sections 8.4 and 12.5.3).
use async_compression::{
    tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::rejection::Rejection;
use crate::error::Code;

/// The codings of request bodies, for `Accept-Encoding` of a response.
const SUPPORTED: &str = "gzip, br, zstd";

/// The maximum window of zstd as a power of two: 8 MiB, which HTTP requires of decoders (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The low seven bits of a Brotli stream whose window exceeds 16 MiB. RFC 7932 does not allow it, but the decoder does.
const BROTLI_LARGE_WINDOW: u8 = 0b001_0001;

/// A coding of request bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentCoding {
    Gzip,
    Brotli,
    Zstd,
}

/// A failure to decode a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// The decoded body exceeds the limit.
    TooLarge,
    /// The body is not one stream in the format of its coding.
    Malformed,
}

impl ContentCoding {
    /// Reads `Content-Encoding`; `None` for a body without a coding.
    ///
    /// # Errors
    /// 415 for other codings and for several, with the supported ones in `Accept-Encoding`. `deflate` is not supported
    /// because clients disagree about its format.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Rejection> {
        let mut coding = None;
        for name in list(headers, header::CONTENT_ENCODING) {
            let named = match name.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "br" => Self::Brotli,
                "zstd" => Self::Zstd,
                _ => return Err(unsupported("the content coding of the request body is not supported")),
            };
            if coding.replace(named).is_some() {
                return Err(unsupported("a request body has at most one content coding"));
            }
        }
        Ok(coding)
    }

    /// Decodes a complete body to at most `max` bytes.
    ///
    /// Decoding does not wait, so each thread decodes one body at a time and the windows of decoders do not add up. A body is
    /// one stream: 1 MiB of empty gzip members would take a second.
    ///
    /// # Errors
    /// The decoded body is larger, or the body is not one stream in the format of the coding.
    pub(super) async fn decode(self, coded: &[u8], max: usize) -> Result<Bytes, DecodeError> {
        let mut rest = coded;
        let decoded = match self {
            Self::Gzip => read(GzipDecoder::new(&mut rest), max).await?,
            Self::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
                read(ZstdDecoder::with_params(&mut rest, &window), max).await?
            }
            Self::Brotli if coded.first().is_some_and(|first| first & 0x7F == BROTLI_LARGE_WINDOW) => {
                return Err(DecodeError::Malformed);
            }
            Self::Brotli => read(BrotliDecoder::new(&mut rest), max).await?,
        };
        if rest.is_empty() { Ok(decoded) } else { Err(DecodeError::Malformed) }
    }

    /// The name, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// Reads a decoder to its end.
async fn read(decoder: impl AsyncRead + Unpin, max: usize) -> Result<Bytes, DecodeError> {
    let mut decoded = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let outcome = decoder.take(limit).read_to_end(&mut decoded).await;
    match outcome {
        _ if decoded.len() > max => Err(DecodeError::TooLarge),
        Ok(_) => Ok(decoded.into()),
        Err(_) => Err(DecodeError::Malformed),
    }
}

fn unsupported(message: &'static str) -> Rejection {
    let message = format!("{message}: send {SUPPORTED} or none");
    Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message).with_accept_encoding(SUPPORTED)
}

/// The items of a header that may be sent in several lines.
fn list(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// The codings that a client accepts for a response, with their weights.
pub(super) struct AcceptedCodings<'a>(Vec<(&'a str, f32)>);

impl<'a> AcceptedCodings<'a> {
    /// Reads `Accept-Encoding`.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        Self(list(headers, header::ACCEPT_ENCODING).filter_map(weighted).collect())
    }

    /// Whether a response in gzip is acceptable, and as welcome as one without a coding.
    pub(super) fn prefers_gzip(&self) -> bool {
        let gzip = self.weight("gzip").or_else(|| self.weight("x-gzip")).or_else(|| self.weight("*")).unwrap_or(0.0);
        let identity = self.weight("identity").or_else(|| self.weight("*")).unwrap_or(0.0);
        gzip > 0.0 && gzip >= identity
    }

    /// Whether a response without a coding is acceptable, which is so unless the client excludes it.
    pub(super) fn allows_identity(&self) -> bool {
        self.weight("identity").or_else(|| self.weight("*")).is_none_or(|weight| weight > 0.0)
    }

    /// Checks that a response without a coding or in one that the server uses is acceptable.
    ///
    /// # Errors
    /// 406. The operation must not be executed then.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let is_accepted = |name| self.weight(name).or_else(|| self.weight("*")).is_some_and(|weight| weight > 0.0);
        if self.allows_identity() || ["gzip", "x-gzip", "br"].into_iter().any(is_accepted) {
            return Ok(());
        }
        let message = "Accept-Encoding excludes all content codings of the server: accept gzip, br or identity";
        Err(Rejection::new(StatusCode::NOT_ACCEPTABLE, Code::BadRequest, message))
    }

    fn weight(&self, name: &str) -> Option<f32> {
        self.0.iter().find(|(coding, _)| coding.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight)
    }
}

/// Reads a coding with its weight, such as `gzip;q=0.5`; `None` if the weight is malformed.
fn weighted(item: &str) -> Option<(&str, f32)> {
    let Some((coding, weight)) = item.split_once(';') else { return Some((item, 1.0)) };
    let (name, value) = weight.split_once('=')?;
    let weight = value.trim().parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?;
    name.trim().eq_ignore_ascii_case("q").then_some((coding.trim(), weight))
}

#[cfg(test)]
mod tests {
    use async_compression::{
        Level,
        tokio::bufread::{BrotliEncoder, GzipEncoder, ZstdEncoder},
        zstd::CParameter,
    };
    use axum::http::HeaderValue;

    use super::*;

    const CODINGS: [ContentCoding; 3] = [ContentCoding::Gzip, ContentCoding::Brotli, ContentCoding::Zstd];

    fn headers(name: header::HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).expect("a value"))).collect()
    }

    async fn encode(coding: ContentCoding, body: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        match coding {
            ContentCoding::Gzip => GzipEncoder::new(body).read_to_end(&mut coded).await,
            ContentCoding::Brotli => BrotliEncoder::with_quality(body, Level::Fastest).read_to_end(&mut coded).await,
            ContentCoding::Zstd => ZstdEncoder::new(body).read_to_end(&mut coded).await,
        }
        .expect("a coded body");
        coded
    }

    #[test]
    fn one_supported_coding_is_accepted() {
        use ContentCoding::{Brotli, Gzip, Zstd};
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&[""], Ok(None)),
            (&["identity"], Ok(None)),
            (&["gzip"], Ok(Some(Gzip))),
            (&["GZip"], Ok(Some(Gzip))),
            (&["x-gzip"], Ok(Some(Gzip))),
            (&[" br "], Ok(Some(Brotli))),
            (&["zstd"], Ok(Some(Zstd))),
            (&["identity, gzip"], Ok(Some(Gzip))),
            (&["deflate"], Err("is not supported")),
            (&["compress"], Err("is not supported")),
            (&["gzip;q=1"], Err("is not supported")),
            (&["*"], Err("is not supported")),
            (&["gzip, gzip"], Err("at most one")),
            (&["gzip, br"], Err("at most one")),
            (&["gzip", "br"], Err("at most one")),
            (&["gzip", "deflate"], Err("is not supported")),
        ] {
            let coding = ContentCoding::of(&headers(header::CONTENT_ENCODING, lines));

            match (coding, expected) {
                (Ok(coding), expected) => assert_eq!(Ok(coding), expected, "{lines:?}"),
                (Err(rejection), expected) => {
                    assert!(rejection.message().contains(expected.expect_err("a rejection")), "{lines:?}");
                    assert_eq!(rejection.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
                }
            }
        }
    }

    #[tokio::test]
    async fn bodies_up_to_the_limit_are_decoded() {
        for coding in CODINGS {
            for size in [0, 1, 1_000, 100_000] {
                let body = b"{}[]\"\xC3\xA9".repeat(size).into_iter().take(size).collect::<Vec<u8>>();
                let coded = encode(coding, &body).await;

                assert_eq!(coding.decode(&coded, size).await, Ok(body.into()), "{coding:?} {size}");
                if size > 0 {
                    assert_eq!(coding.decode(&coded, size - 1).await, Err(DecodeError::TooLarge), "{coding:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_expands_is_decoded_only_to_the_limit() {
        for coding in CODINGS {
            let coded = encode(coding, &vec![b' '; 64 << 20]).await;
            assert!(coded.len() < 100_000, "{coding:?} {}", coded.len());

            assert_eq!(coding.decode(&coded, 1 << 20).await, Err(DecodeError::TooLarge), "{coding:?}");
        }
    }

    #[tokio::test]
    async fn malformed_bodies_are_rejected() {
        for coding in CODINGS {
            let coded = encode(coding, b"{\"query\":\"{__typename}\"}").await;
            let mut changed = coded.clone();
            changed[0] ^= 0x55;
            let (followed, twice) = ([&coded[..], b"{}"].concat(), [&coded[..], &coded].concat());

            for (malformed, what) in [
                (&coded[..coded.len() - 1], "truncated"),
                (&changed, "changed"),
                (&followed, "followed by other bytes"),
                (&twice, "two streams"),
                (b"{\"query\":\"{__typename}\"}", "not coded"),
            ] {
                assert_eq!(coding.decode(malformed, 1_000).await, Err(DecodeError::Malformed), "{coding:?} {what}");
            }
        }
    }

    #[tokio::test]
    async fn windows_are_limited() {
        let large = [CParameter::window_log(24), CParameter::enable_long_distance_matching(true)];
        let mut coded = Vec::new();
        let mut encoder = ZstdEncoder::with_quality_and_params(&b"{}"[..], Level::Default, &large);
        encoder.read_to_end(&mut coded).await.expect("a coded body");
        assert_eq!(ContentCoding::Zstd.decode(&coded, 100).await, Err(DecodeError::Malformed));

        let large_window_of_30_bits = [0x11, 0x1E, 0x03];
        let decoded = ContentCoding::Brotli.decode(&large_window_of_30_bits, 100).await;
        assert_eq!(decoded, Err(DecodeError::Malformed));
    }

    #[test]
    fn weights_of_accepted_codings_are_honoured() {
        for (lines, prefers_gzip, allows_identity, is_acceptable) in [
            (&[][..], false, true, true),
            (&[""], false, true, true),
            (&["gzip"], true, true, true),
            (&["GZIP"], true, true, true),
            (&["x-gzip"], true, true, true),
            (&["br, gzip;q=0.1"], true, true, true),
            (&["br", "gzip"], true, true, true),
            (&["gzip;q=0"], false, true, true),
            (&["gzip; q=0.000"], false, true, true),
            (&["gzip ;Q=0.5"], true, true, true),
            (&["gzip;q=2"], false, true, true),
            (&["gzip;level=1"], false, true, true),
            (&["gzipped"], false, true, true),
            (&["identity"], false, true, true),
            (&["identity, gzip;q=0.5"], false, true, true),
            (&["identity;q=0.5, gzip"], true, true, true),
            (&["*"], true, true, true),
            (&["*;q=0.5, gzip;q=0"], false, true, true),
            (&["*;q=0"], false, false, false),
            (&["identity;q=0"], false, false, false),
            (&["identity;q=0, gzip;q=0, br;q=0"], false, false, false),
            (&["identity;q=0, deflate"], false, false, false),
            (&["identity;q=0, br"], false, false, true),
            (&["identity;q=0, *"], true, false, true),
            (&["*;q=0, gzip"], true, false, true),
            (&["*;q=0, identity"], false, true, true),
        ] {
            let headers = headers(header::ACCEPT_ENCODING, lines);
            let accepted = AcceptedCodings::of(&headers);

            assert_eq!(accepted.prefers_gzip(), prefers_gzip, "{lines:?}");
            assert_eq!(accepted.allows_identity(), allows_identity, "{lines:?}");
            assert_eq!(accepted.check().is_ok(), is_acceptable, "{lines:?}");
        }
    }
}

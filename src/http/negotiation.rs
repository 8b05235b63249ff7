//! Content negotiation by the `Accept` header (RFC 9110, section 12.5.1).

/// The media type of the response to a query or mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/graphql-response+json`: the status shows whether the operation was executed.
    GraphqlResponse,
    /// `application/json`, for clients that support nothing else.
    Json,
    /// `text/event-stream`: an event with the response and one that completes the stream.
    EventStream,
}

impl MediaType {
    /// Returns the value for `Content-Type`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::EventStream => "text/event-stream",
        }
    }

    /// Returns the media type of a body with another status than 200, which is JSON for every client.
    pub(super) fn of_errors(self) -> Self {
        match self {
            Self::EventStream => Self::Json,
            json => json,
        }
    }
}

/// The format of the responses to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFormat {
    /// Server-Sent Events.
    EventStream,
    /// Apollo's multipart protocol.
    Multipart,
}

/// The formats that a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AcceptedFormats {
    /// For queries and mutations, which have one response. `None` if the client accepts no format of the server.
    pub(super) single: Option<MediaType>,
    /// For subscriptions. `None` if the client names no streaming format.
    pub(super) stream: Option<StreamFormat>,
}

impl AcceptedFormats {
    /// Reads the `Accept` header.
    ///
    /// A query or mutation has a JSON response unless the client prefers `text/event-stream` to all JSON types: clients
    /// such as urql name all formats that they support for every operation. A wildcard does not select a streaming format,
    /// because its client may wait for the end of the response.
    pub(super) fn of(accept: Option<&str>) -> Self {
        let ranges = MediaRange::parse_all(accept.unwrap_or_default());
        let events = if names(&ranges, "text", "event-stream") { quality(&ranges, "text", "event-stream") } else { 0 };
        let parts = multipart_quality(accept.unwrap_or_default());
        let stream = match (events, parts) {
            (0, 0) => None,
            (events, parts) if events >= parts => Some(StreamFormat::EventStream),
            _ => Some(StreamFormat::Multipart),
        };
        let single = match events > json_quality(&ranges) {
            true => Some(MediaType::EventStream),
            // Clients of the multipart protocol read other operations as JSON.
            false => negotiate(accept).or((parts > 0).then_some(MediaType::Json)),
        };
        Self { single, stream }
    }
}

/// Returns the JSON type that `accept` prefers, `application/json` without the header, `None` if neither is acceptable.
fn negotiate(accept: Option<&str>) -> Option<MediaType> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Some(MediaType::Json) };
    let ranges = MediaRange::parse_all(accept);
    let response = quality(&ranges, "application", "graphql-response+json");
    let json = quality(&ranges, "application", "json");
    match (response, json) {
        (0, 0) => None,
        // A client that accepts anything supports JSON for certain.
        (response, json) if response > json || (response == json && names_response(&ranges)) => {
            Some(MediaType::GraphqlResponse)
        }
        _ => Some(MediaType::Json),
    }
}

/// Whether `accept` prefers HTML to JSON, as a browser does when the user opens a URL.
pub(super) fn prefers_html(accept: Option<&str>) -> bool {
    let ranges = MediaRange::parse_all(accept.unwrap_or_default());
    let html = quality(&ranges, "text", "html");
    names(&ranges, "text", "html") && html > 0 && html >= json_quality(&ranges)
}

/// Returns the quality of the multipart subscription protocol: `multipart/mixed` with `subscriptionSpec=1.0`.
fn multipart_quality(accept: &str) -> u32 {
    let is_1_0 = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("subscriptionSpec") && value.trim().trim_matches('"') == "1.0"
        })
    };
    let named = accept.split(',').filter(|text| text.split(';').skip(1).any(is_1_0)).filter_map(MediaRange::parse);
    named.filter(|range| range.is("multipart", "mixed")).map(|range| range.quality).max().unwrap_or(0)
}

/// Returns the quality of the JSON type that the client prefers.
fn json_quality(ranges: &[MediaRange]) -> u32 {
    quality(ranges, "application", "json").max(quality(ranges, "application", "graphql-response+json"))
}

/// Whether a media type is named, not only matched by a wildcard.
fn names(ranges: &[MediaRange], kind: &str, subtype: &str) -> bool {
    ranges.iter().any(|range| range.is(kind, subtype))
}

/// Returns the quality of a media type, which the most specific matching range determines.
fn quality(ranges: &[MediaRange], kind: &str, subtype: &str) -> u32 {
    let best = ranges.iter().filter(|range| range.matches(kind, subtype)).max_by_key(|range| range.specificity());
    best.map_or(0, |range| range.quality)
}

fn names_response(ranges: &[MediaRange]) -> bool {
    let named = |subtype| ranges.iter().position(|range| range.kind == "application" && range.subtype == subtype);
    match (named("graphql-response+json"), named("json")) {
        (Some(response), Some(json)) => response < json,
        (response, _) => response.is_some(),
    }
}

/// A media range with its quality in thousandths.
struct MediaRange {
    kind: String,
    subtype: String,
    quality: u32,
}

impl MediaRange {
    fn parse_all(accept: &str) -> Vec<Self> {
        accept.split(',').filter_map(Self::parse).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut quality = 1_000;
        for part in parts {
            if let Some((name, value)) = part.split_once('=')
                && name.trim().eq_ignore_ascii_case("q")
            {
                let value: f32 = value.trim().parse().ok()?;
                quality = (value.clamp(0.0, 1.0) * 1_000.0) as u32;
            } else if let Some((name, value)) = part.split_once('=')
                && name.trim().eq_ignore_ascii_case("charset")
                && !is_utf_8(value)
            {
                return None;
            }
        }
        Some(Self { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), quality })
    }

    fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }

    fn matches(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == "*" && self.subtype == "*")
            || (self.kind == kind && (self.subtype == "*" || self.subtype == subtype))
    }

    fn specificity(&self) -> u32 {
        u32::from(self.kind != "*") + u32::from(self.subtype != "*")
    }
}

/// Checks that a request's `Content-Type` is JSON in UTF-8.
///
/// # Errors
/// A message for the client.
pub(super) fn check_json(content_type: Option<&str>) -> Result<(), &'static str> {
    let mut parts = content_type.unwrap_or_default().split(';').map(str::trim);
    if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err("the request body must be JSON: send Content-Type: application/json");
    }
    let mut charsets = parts.filter_map(|part| part.split_once('=')).filter(|(name, _)| is_charset(name));
    match charsets.all(|(_, value)| is_utf_8(value)) {
        true => Ok(()),
        false => Err("the request body must be in UTF-8: send Content-Type: application/json; charset=utf-8"),
    }
}

fn is_charset(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("charset")
}

/// Whether a charset is UTF-8, which clients also call `utf8`.
fn is_utf_8(charset: &str) -> bool {
    let letters = charset.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    letters.eq(*b"utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_the_one_preferred() {
        use MediaType::{GraphqlResponse, Json};
        let cases = [
            (None, Some(Json)),
            (Some(""), Some(Json)),
            (Some("*/*"), Some(Json)),
            (Some("application/*"), Some(Json)),
            (Some("application/json"), Some(Json)),
            (Some("application/json; charset=utf-8"), Some(Json)),
            (Some("application/json; charset=utf8"), Some(Json)),
            (Some("application/graphql-response+json;charset=\"UTF8\""), Some(GraphqlResponse)),
            (Some("application/graphql-response+json;charset=utf-16, application/json"), Some(Json)),
            (Some("application/graphql-response+json"), Some(GraphqlResponse)),
            (
                Some("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8"),
                Some(GraphqlResponse),
            ),
            (Some("application/json, application/graphql-response+json"), Some(Json)),
            (Some("application/json;q=0.5, application/graphql-response+json;q=0.9"), Some(GraphqlResponse)),
            (Some("application/graphql-response+json;q=0.1, */*"), Some(Json)),
            (Some("application/graphql-response+json, */*;q=0.1"), Some(GraphqlResponse)),
            (
                Some(
                    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                ),
                Some(GraphqlResponse),
            ),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some(Json)),
            (Some("text/html"), None),
            (Some("text/event-stream"), None),
            (Some("multipart/mixed"), None),
            (Some("nonsense"), None),
            (Some("application/json;q=0"), None),
            (Some("application/json; charset=iso-8859-1"), None),
        ];
        for (accept, expected) in cases {
            assert_eq!(negotiate(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_browser_that_opens_a_url_prefers_html() {
        let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, expected) in [
            (Some(chromium), true),
            (Some("text/html"), true),
            (Some("Text/HTML, application/json"), true),
            (Some("text/html;q=0.5, application/json"), false),
            (Some("text/html;q=0"), false),
            (Some("text/*"), false),
            (Some("*/*"), false),
            (None, false),
        ] {
            assert_eq!(prefers_html(accept), expected, "{accept:?}");
        }
    }

    const URQL: &str = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";

    #[test]
    fn a_response_is_json_unless_the_client_prefers_an_event_stream() {
        use MediaType::{EventStream, GraphqlResponse, Json};
        for (accept, expected) in [
            (URQL, Some(GraphqlResponse)),
            ("text/event-stream", Some(EventStream)),
            ("Text/Event-Stream; charset=utf-8", Some(EventStream)),
            ("text/event-stream, multipart/mixed", Some(EventStream)),
            ("text/event-stream, application/json", Some(Json)),
            ("text/event-stream, application/graphql-response+json;q=0.9", Some(EventStream)),
            ("text/event-stream;q=0.9, application/json;q=0.8, */*;q=0.1", Some(EventStream)),
            (
                "text/event-stream;q=0.9, application/json;q=0.8, application/graphql-response+json",
                Some(GraphqlResponse),
            ),
            ("text/event-stream, */*", Some(Json)),
            ("text/event-stream, */*;q=0.5", Some(EventStream)),
            ("text/event-stream;q=0, */*;q=0.5", Some(Json)),
            ("text/event-stream;q=0", None),
            ("text/*", None),
            ("*/*", Some(Json)),
            ("multipart/mixed;subscriptionSpec=1.0", Some(Json)),
            ("multipart/mixed;subscriptionSpec=1.0, text/event-stream", Some(EventStream)),
            ("multipart/mixed", None),
        ] {
            assert_eq!(AcceptedFormats::of(Some(accept)).single, expected, "{accept}");
        }
        assert_eq!(AcceptedFormats::of(None).single, Some(Json));
    }

    #[test]
    fn a_subscription_is_streamed_in_the_format_that_the_client_names() {
        use StreamFormat::{EventStream, Multipart};
        for (accept, expected) in [
            (URQL, Some(EventStream)),
            ("text/event-stream", Some(EventStream)),
            ("application/json, text/event-stream;q=0.1", Some(EventStream)),
            ("text/event-stream;q=0, application/json", None),
            ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json", Some(Multipart)),
            ("multipart/mixed; subscriptionSpec=\"1.0\", application/json", Some(Multipart)),
            ("application/json, Multipart/Mixed;subscriptionspec=1.0;q=0.5", Some(Multipart)),
            ("multipart/mixed;subscriptionSpec=1.0, text/event-stream;q=0.9", Some(Multipart)),
            ("multipart/mixed;subscriptionSpec=1.0, text/event-stream", Some(EventStream)),
            ("multipart/mixed;subscriptionSpec=1.0;q=0", None),
            ("multipart/mixed;deferSpec=20220824,application/json", None),
            ("multipart/mixed;subscriptionSpec=2.0", None),
            ("multipart/mixed", None),
            ("application/json;subscriptionSpec=1.0", None),
            ("application/json", None),
            ("text/*", None),
            ("*/*", None),
        ] {
            assert_eq!(AcceptedFormats::of(Some(accept)).stream, expected, "{accept}");
        }
        assert_eq!(AcceptedFormats::of(None).stream, None);
    }

    #[test]
    fn only_json_in_utf_8_is_accepted() {
        for accepted in [
            "application/json",
            "application/json;",
            "application/json; charset=utf-8",
            "application/json; charset=utf8",
            "application/json;charset=UTF8; profile=x",
            "application/json; Charset = Utf_8",
            "Application/JSON;charset=\"UTF-8\"",
        ] {
            assert_eq!(check_json(Some(accepted)), Ok(()), "{accepted}");
        }
        for rejected in ["text/plain", "multipart/form-data", "application/jsonp", "", "charset=utf-8"] {
            assert!(check_json(Some(rejected)).is_err_and(|message| message.contains("must be JSON")), "{rejected}");
        }
        for charset in ["latin1", "utf-16", "utf-16le", "utf-80", "utf", "", "utf-8, utf-16"] {
            let rejected = check_json(Some(&format!("application/json; charset={charset}")));
            assert!(rejected.is_err_and(|message| message.contains("must be in UTF-8")), "{charset}");
        }
        assert!(check_json(None).is_err());
    }
}

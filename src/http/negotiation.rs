//! Content negotiation by the `Accept` header (RFC 9110, section 12.5.1).

/// The media type of a GraphQL response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/graphql-response+json`: the status shows whether the operation was executed.
    GraphqlResponse,
    /// `application/json`, for clients that support nothing else.
    Json,
}

impl MediaType {
    /// Returns the value for `Content-Type`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }
}

/// Returns the media type that `accept` prefers, JSON without the header, `None` if neither is acceptable.
pub(super) fn negotiate(accept: Option<&str>) -> Option<MediaType> {
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
    let is_named = ranges.iter().any(|range| range.kind == "text" && range.subtype == "html");
    is_named
        && html > 0
        && html >= quality(&ranges, "application", "json")
        && html >= quality(&ranges, "application", "graphql-response+json")
}

/// Whether `accept` names `text/event-stream` and prefers no JSON type to it.
pub(super) fn prefers_event_stream(accept: Option<&str>) -> bool {
    let ranges = MediaRange::parse_all(accept.unwrap_or_default());
    let events = quality(&ranges, "text", "event-stream");
    let is_named = ranges.iter().any(|range| range.kind == "text" && range.subtype == "event-stream");
    is_named
        && events > 0
        && events >= quality(&ranges, "application", "json")
        && events >= quality(&ranges, "application", "graphql-response+json")
}

/// Whether `accept` contains the multipart subscription protocol: `multipart/mixed` with `subscriptionSpec=1.0`.
pub(super) fn accepts_multipart_subscription(accept: Option<&str>) -> bool {
    let is_1_0 = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("subscriptionSpec") && value.trim().trim_matches('"') == "1.0"
        })
    };
    let is_multipart = |range: MediaRange| range.kind == "multipart" && range.subtype == "mixed" && range.quality > 0;
    accept
        .unwrap_or_default()
        .split(',')
        .any(|text| text.split(';').skip(1).any(is_1_0) && MediaRange::parse(text).is_some_and(is_multipart))
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
                && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            {
                return None;
            }
        }
        Some(Self { kind: kind.to_ascii_lowercase(), subtype: subtype.to_ascii_lowercase(), quality })
    }

    fn matches(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == "*" && self.subtype == "*")
            || (self.kind == kind && (self.subtype == "*" || self.subtype == subtype))
    }

    fn specificity(&self) -> u32 {
        u32::from(self.kind != "*") + u32::from(self.subtype != "*")
    }
}

/// Whether a request's `Content-Type` is JSON in UTF-8.
pub(super) fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return false };
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|part| match part.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
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

    #[test]
    fn the_multipart_subscription_protocol_is_named_by_its_parameter() {
        for (accept, expected) in [
            ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json", true),
            ("multipart/mixed; subscriptionSpec=\"1.0\", application/json", true),
            ("application/json, Multipart/Mixed;subscriptionspec=1.0;q=0.5", true),
            ("multipart/mixed;subscriptionSpec=1.0;q=0", false),
            ("multipart/mixed;deferSpec=20220824,application/json", false),
            ("multipart/mixed;subscriptionSpec=2.0", false),
            ("multipart/mixed", false),
            ("application/json;subscriptionSpec=1.0", false),
        ] {
            assert_eq!(accepts_multipart_subscription(Some(accept)), expected, "{accept}");
        }
        assert!(!accepts_multipart_subscription(None));
    }

    #[test]
    fn only_json_in_utf_8_is_accepted() {
        for accepted in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""] {
            assert!(is_json(Some(accepted)), "{accepted}");
        }
        for rejected in
            ["text/plain", "multipart/form-data", "application/json; charset=latin1", "application/jsonp", ""]
        {
            assert!(!is_json(Some(rejected)), "{rejected}");
        }
        assert!(!is_json(None));
    }
}

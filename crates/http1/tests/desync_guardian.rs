//! The codec against `http_desync_guardian`, by which AWS's load balancers judge requests: its 159 cases, and its
//! verdict over generated messages. Severe and ambiguous requests are never accepted.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

#[path = "common/generate.rs"]
mod generate;
#[path = "common/guardian.rs"]
mod guardian;

use fairlead_http1::{HeadCursor, HeadStorage, Limits, Reason, RequestError, RequestHead};
use generate::{broken, request_text};
use guardian::cases;
use http_desync_guardian::RequestSafetyTier as Tier;
use http_desync_guardian::request_analyzer::HttpRequestData;
use proptest::prelude::*;

/// None: the head does not end.
fn verdict(message: &[u8]) -> Option<Result<RequestHead, Reason>> {
    let mut storage = HeadStorage::new();
    RequestHead::parse(message, &mut HeadCursor::default(), &mut storage, &Limits::REQUEST)
        .map_err(RequestError::reason)
        .transpose()
}

#[test]
fn of_the_159_cases_no_severe_and_no_ambiguous_one_is_accepted() {
    let cases = cases();
    assert_eq!(cases.len(), 159);
    let of = |tier: &str| cases.iter().filter(|case| case.tier == tier).count();
    assert_eq!((of("Severe"), of("Ambiguous"), of("Acceptable"), of("Compliant")), (58, 58, 15, 28));
    let accepted: Vec<_> = cases
        .iter()
        .filter(|case| matches!(case.tier.as_str(), "Severe" | "Ambiguous"))
        .filter(|case| !matches!(verdict(&case.message), Some(Err(_))))
        .map(|case| &case.name)
        .collect();
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[test]
fn of_the_159_cases_the_compliant_ones_are_refused_by_stricter_rules_only() {
    let (mut accepted, mut refused) = (0, std::collections::BTreeMap::<_, usize>::new());
    for case in cases().iter().filter(|case| case.tier == "Compliant") {
        match verdict(&case.message).unwrap() {
            Ok(_) => accepted += 1,
            Err(reason) => *refused.entry(reason.as_str()).or_default() += 1,
        }
    }
    let stricter = [
        // An empty target, which the guardian leaves to the server behind.
        ("invalid_request_line", 1),
        // A fragment; bytes outside ASCII.
        ("invalid_target", 2),
        // A list with `identity` or of several codings; a parameter.
        ("invalid_transfer_encoding", 6),
        ("underscore_in_field_name", 2),
        // `gzip, chunked`: good, but not decoded here.
        ("unknown_transfer_coding", 1),
    ];
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), stricter);
    assert_eq!(accepted, 16);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_that_is_accepted_is_close_to_a_framing_field(
        name in "[-~.!cC]{0,2}(Content[-~.xX]{0,3}Length|Transfer[-~.xX]{0,3}Encoding)[-~.!]{0,2}",
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), "[-~.!a-z]"), 0..4),
    ) {
        let mut name = name.into_bytes();
        for (at, byte) in changes {
            let at = at.index(name.len());
            name[at] = byte.as_bytes()[0];
        }
        let head = [b"POST / HTTP/1.1\r\nHost: a\r\n", &name[..], b": x\r\n\r\n"].concat();
        let Some(Ok(_)) = verdict(&head) else { return Ok(()) };
        let judged = HttpRequestData::analyze_raw_request(&head);
        prop_assert!(judged.tier < Tier::Ambiguous, "{:?}: {:?}", judged.reason, judged.message);
    }

    #[test]
    fn what_is_accepted_is_neither_severe_nor_ambiguous(bytes in broken(request_text())) {
        let Some(Ok(head)) = verdict(&bytes) else { return Ok(()) };
        let judged = HttpRequestData::analyze_raw_request(&bytes[..head.len]);
        prop_assert!(judged.tier < Tier::Ambiguous, "{:?}: {:?}", judged.reason, judged.message);
    }
}

//! What is concluded from the answers of `pgbackrest info`.

use super::*;

const OURS: u64 = 7;

fn answer(repo: &str, backup: &str) -> Stanza {
    let json = format!(
        "[{{\"archive\":[{{\"database\":{{\"id\":1,\"repo-key\":1}},\"id\":\"15-1\",\"max\":null,\"min\":null}}],\
         \"backup\":[{backup}],\"cipher\":\"none\",\"db\":[{{\"id\":1,\"repo-key\":1,\"system-id\":7,\"version\":\"15\"}},\
         {{\"id\":1,\"repo-key\":2,\"system-id\":9,\"version\":\"15\"}}],\"name\":\"main\",\"repo\":[{repo}],\
         \"status\":{{\"code\":5,\"message\":\"other\"}}}}]"
    );
    Stanza::parse(json.as_bytes(), "main").unwrap()
}

fn repo(key: u32, code: u32) -> String {
    format!("{{\"cipher\":\"none\",\"key\":{key},\"status\":{{\"code\":{code},\"message\":\"m{code}\"}}}}")
}

fn backup(kind: &str, repo_key: u32, error: &str) -> String {
    format!(
        "{{\"label\":\"L\",\"type\":\"{kind}\",\"database\":{{\"id\":1,\"repo-key\":{repo_key}}},\"error\":{error},\
         \"timestamp\":{{\"start\":10,\"stop\":20}},\"archive\":{{\"start\":\"000000010000000000000001\",\"stop\":null}}}}"
    )
}

#[test]
fn each_repositorys_code_and_text_are_read() {
    let answer = br#"[{"backup":[],"name":"main","repo":[{"cipher":"none","key":2,"status":{"code":99,"message":"[ProtocolError] x"}}],"status":{"code":99,"message":"other"}}]"#;
    let status = Status { code: 99, message: "[ProtocolError] x".to_owned() };
    assert_eq!(repositories(answer, "main"), Some(vec![Repository { key: 2, status }]));
    assert_eq!(repositories(answer, "other"), None);
    let pretty = b"2026-11-22 10:58:13.119 P00   WARN: option '[x]'\n[ \n {\"name\": \"main\", \"repo\": []}\n]";
    assert_eq!(repositories(pretty, "main"), Some(Vec::new()));
}

#[test]
fn a_full_of_this_cluster_without_error_in_a_readable_repository_is_present() {
    let present =
        |repo: &str, backup: &str| matches!(answer(repo, backup).catalog(OURS, &[1]), CatalogAnswer::Present(_));
    assert!(present(&repo(1, 0), &backup("full", 1, "false")));
    assert!(present(&repo(1, 0), &backup("full", 1, "null")));
    assert!(!present(&repo(1, 0), &backup("full", 1, "true")));
    assert!(!present(&repo(1, 0), &backup("diff", 1, "false")));
    assert!(!present(&repo(1, 99), &backup("full", 1, "false")));
    assert!(!present(&repo(2, 0), &backup("full", 2, "false")));
}

#[test]
fn only_code_two_everywhere_is_absent() {
    let both = |one, two| answer(&format!("{},{}", repo(1, one), repo(2, two)), "").catalog(OURS, &[1, 2]);
    assert_eq!(both(2, 2), CatalogAnswer::Absent);
    for other in [0, 1, 3, 4, 5, 6, 99] {
        assert!(matches!(both(2, other), CatalogAnswer::Inconclusive { .. }), "{other}");
    }
    assert!(matches!(both(1, 2), CatalogAnswer::Inconclusive { doubt: Doubt::StanzaMissing, .. }));
    assert!(matches!(both(1, 99), CatalogAnswer::Inconclusive { doubt: Doubt::Unreadable, .. }));
    assert!(matches!(both(2, 99), CatalogAnswer::Inconclusive { doubt: Doubt::NoneGood, .. }));
    assert!(matches!(answer(&repo(1, 2), "").catalog(OURS, &[1, 2]), CatalogAnswer::Inconclusive { .. }));
    assert!(matches!(answer("", "").catalog(OURS, &[]), CatalogAnswer::Inconclusive { doubt: Doubt::Unreadable, .. }));
}

#[test]
fn what_is_no_answer_is_none() {
    for answer in [&b""[..], b"[]", b"\xff\xfe[{\"name\":", b"null", b"[{\"name\":\"[invalid]\"}]"] {
        assert_eq!(Stanza::parse(answer, "main"), None);
    }
}

#[test]
fn a_backup_is_as_good_as_those_that_it_needs() {
    let named = |label: &str, kind: &str, error: &str, needs: &str| {
        backup(kind, 1, error).replace("\"label\":\"L\"", &format!("\"label\":\"{label}\",\"prior\":{needs}"))
    };
    let good = |full: &str| {
        let stanza = answer(&repo(1, 0), &format!("{full}{}", named("FD", "diff", "false", "\"F\"")));
        stanza.good_backups(OURS).map(|backup| backup.label.clone()).collect::<Vec<_>>()
    };
    assert_eq!(good(&format!("{},", named("F", "full", "false", "null"))), ["F", "FD"]);
    assert_eq!(good(&format!("{},", named("F", "full", "true", "null"))), [""; 0], "pages of the full are damaged");
    assert_eq!(good(""), [""; 0], "the full is not there");
    let lacks = |full: &str| answer(&repo(1, 0), full).lacks_a_full(OURS, 1);
    assert!(lacks(&named("F", "full", "true", "null")) && !lacks(&named("F", "full", "false", "null")));
    assert!(!answer(&repo(1, 99), "").lacks_a_full(OURS, 1), "it can't be read");
}

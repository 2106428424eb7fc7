use super::*;

#[test]
fn encodings_are_read_as_the_client_means_them() {
    assert!(accepts("gzip, deflate, br, zstd", "br") && accepts("gzip;q=0.5", "gzip"));
    assert!(!accepts("br;q=0, gzip", "br") && !accepts("", "gzip") && !accepts("brotli", "br"));
}

#[test]
fn nothing_inline_and_nothing_of_others() {
    let policy = POLICY.to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; "));
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"));
}

#[test]
fn every_error_has_its_page_in_the_program() {
    let page = embedded::ERROR_PAGES.iter().find(|(code, _)| *code == "bad-api-key").unwrap();
    assert!(page.1.starts_with("# bad-api-key"));
}

#[test]
fn files_are_what_the_build_compressed() {
    for file in FILES.values() {
        let (none, gz) = (body(file.embedded, ""), body(file.embedded, "gzip"));
        assert_eq!((none.0, gz.0, body(file.embedded, "gzip, br").0), (None, Some("gzip"), Some("br")));
        assert!(!kind(file.embedded.name).starts_with("application/octet"), "{}", file.embedded.name);
    }
    if is_built() {
        let mut page = String::new();
        GzDecoder::new(FILES[INDEX].embedded.gz).read_to_string(&mut page).unwrap();
        assert!(page.contains("/console/assets/") && !page.contains("<style") && !page.contains("onclick"));
    }
}

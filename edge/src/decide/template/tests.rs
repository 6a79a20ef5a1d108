use super::*;
use crate::decide::macros::testing::values;
use proptest::prelude::*;

fn filled(url: &str) -> String {
    let subs = ["s1&x=1", "{click_id}"];
    let mut out = String::new();
    Template::parse(url, "click_id").unwrap().fill(&values("ID", &subs), &mut out).unwrap();
    out
}

#[test]
fn the_click_id_finds_its_place() {
    let cases = [
        ("https://shop.example/a", "https://shop.example/a?click_id=ID"),
        ("https://shop.example", "https://shop.example/?click_id=ID"),
        ("https://shop.example/a?b=1#top", "https://shop.example/a?b=1&click_id=ID#top"),
        ("https://shop.example/?click_id=old&b=1", "https://shop.example/?b=1&click_id=ID"),
        ("https://shop.example/?x={click_id}", "https://shop.example/?x=ID"),
        ("https://shop.example/go/{click_id}/x", "https://shop.example/go/ID/x"),
        ("https://shop.example/#{clickid}", "https://shop.example/#ID"),
        (
            "https://shop.example/?a={sub1}&b={sub2}",
            "https://shop.example/?a=s1%26x%3D1&b=%7Bclick_id%7D&click_id=ID",
        ),
        ("https://shop.example/?a={nobody}&b=[[x]]", "https://shop.example/?a=&b=&click_id=ID"),
        (
            "https://shop.example/?a=${sub1}&c={country}",
            "https://shop.example/?a=s1%26x%3D1&c=CN&click_id=ID",
        ),
        ("https://shop.example/?click_id={sub1}", "https://shop.example/?click_id=ID"),
        (
            "https://shop.example/q0q1z?a={city}",
            "https://shop.example/q0q1z?a=%E4%B8%8A%E6%B5%B7&click_id=ID",
        ),
        ("https://shop.example/中?q=中", "https://shop.example/%E4%B8%AD?q=%E4%B8%AD&click_id=ID"),
    ];
    for (url, expected) in cases {
        assert_eq!(filled(url), expected, "{url}");
    }
}

#[test]
fn what_is_no_template() {
    let many = format!("https://shop.example/?{}", "a={sub1}&".repeat(65));
    let long = format!("https://shop.example/{}", "x".repeat(MAX_URL));
    let cases = [
        ("", TemplateError::NotAPage),
        ("/a", TemplateError::NotAPage),
        ("javascript:alert({sub1})", TemplateError::NotAPage),
        ("data:text/html,{sub1}", TemplateError::NotAPage),
        ("https://u:p@shop.example/", TemplateError::NotAPage),
        ("https://{sub1}@shop.example/", TemplateError::NotAPage),
        ("{sub1}://shop.example/", TemplateError::NotAPage),
        ("https://{sub1}/", TemplateError::MacroInHost),
        ("https://shop.example{sub1}", TemplateError::MacroInHost),
        ("https://{sub1}.shop.example/", TemplateError::MacroInHost),
        ("https://{nobody}.shop.example/", TemplateError::MacroInHost),
        ("https://#sub1#/", TemplateError::MacroInHost),
        ("https://!!!sub1!!!.shop.example/", TemplateError::MacroInHost),
        ("https://[[sub1]]/", TemplateError::MacroInHost),
        ("https://${SUB1}.shop.example/", TemplateError::MacroInHost),
        ("https://shop.example:{sub1}/", TemplateError::NotAPage),
        (&many, TemplateError::TooManyMacros),
        (&long, TemplateError::TooLong),
    ];
    for (url, expected) in cases {
        assert_eq!(Template::parse(url, "click_id").unwrap_err(), expected, "{url}");
    }
    assert_eq!(Template::parse("https://shop.example/", "").unwrap_err(), TemplateError::NoParameter);
    assert!(Template::parse("https://shop.example/{click_id}", "").is_ok(), "none is needed");
}

#[test]
fn without_an_id_there_is_no_parameter_for_it() {
    let cases = [
        ("https://shop.example/a?b=1#top", "https://shop.example/a?b=1#top"),
        ("https://shop.example/a#top", "https://shop.example/a#top"),
        ("https://shop.example/?x={click_id}&b=1", "https://shop.example/?x=&b=1"),
    ];
    for (url, expected) in cases {
        let mut out = String::new();
        Template::parse(url, "click_id").unwrap().fill(&values("", &[]), &mut out).unwrap();
        assert_eq!(out, expected, "{url}");
    }
}

/// Whoever chooses the page knows how marks look, and what the parser drops, lowers and maps.
#[test]
fn nobody_brings_marks_along() {
    let pages = [
        "https://evil.com.shop.example/xxxq\t0q0z",
        "https://shop.example/q\n0q0z?q\r0q0z",
        "https://shop.example/q0q0z?q1q0z#q2q0z",
        "https://Q0Q0z.shop.example/q1q0z",
        "https://\u{ff51}0q0z.shop.example/",
    ];
    for url in pages {
        let Ok(template) = Template::verbatim(url, "click_id") else { continue };
        let host = Url::parse(url).unwrap().host_str().unwrap().to_owned();
        for id in ["", "ID"] {
            let mut out = String::new();
            template.fill(&values(id, &[]), &mut out).unwrap();
            assert_eq!(Url::parse(&out).unwrap().host_str(), Some(host.as_str()), "{url}: {out}");
            assert_eq!(out.matches("ID").count(), id.len() / 2, "{url}: {out}");
        }
    }
    assert!(
        Template::verbatim(pages[0], "click_id").is_err() && Template::parse(pages[1], "click_id").is_err()
    );
    let spelt = Template::verbatim("https://shop.example/?click%5Fid=other&b=1", "click_id").unwrap();
    let mut out = String::new();
    spelt.fill(&values("ID", &[]), &mut out).unwrap();
    assert_eq!(out, "https://shop.example/?b=1&click_id=ID");
}

#[test]
fn values_do_not_climb() {
    let template = Template::parse("https://shop.example/t/{sub1}/{_sub2}/x?a={sub3}", "click_id").unwrap();
    for subs in [["..", "../..", "."], [".", "a/../b", ".."], ["...", "./x", "a.b"]] {
        let mut out = String::new();
        template.fill(&values("ID", &subs), &mut out).unwrap();
        let url = Url::parse(&out).unwrap();
        assert!(url.path().starts_with("/t/") && url.path().ends_with("/x"), "{out}");
        assert_eq!(url.path_segments().unwrap().count(), 4, "{out}");
    }
}

#[test]
fn a_page_that_a_request_asks_for_has_no_macros() {
    let template =
        Template::verbatim("https://shop.example/{sub1}?a={city}&click_id=x#{ip}", "click_id").unwrap();
    let mut out = String::new();
    template.fill(&values("ID", &["s"]), &mut out).unwrap();
    assert_eq!(out, "https://shop.example/%7Bsub1%7D?a={city}&click_id=ID#{ip}");
    assert!(Template::verbatim("javascript:alert(1)", "click_id").is_err());
}

#[test]
fn a_url_that_grows_too_long_is_none() {
    let template = Template::parse("https://shop.example/?a={sub1}", "click_id").unwrap();
    let long = "x".repeat(MAX_URL);
    let subs = [long.as_str()];
    assert_eq!(template.fill(&values("ID", &subs), &mut String::new()), Err(TooLong));
}

proptest! {
    /// Whoever writes sub-ids, referrer and user agent never says where the shopper lands, nor breaks a header.
    #[test]
    fn values_never_change_the_host(
        sub in "\\PC{0,60}", referrer in any::<String>(),
        template in prop::sample::select(vec![
            "https://shop.example/{sub1}", "https://shop.example/{_sub1}?r={_referrer}#{_sub1}",
            "https://shop.example?x={_sub1}", "https://shop.example/a{_sub1}/../{referrer}",
        ]),
    ) {
        let subs = [sub.as_str()];
        let values = Values { referrer: &referrer, ..values("ID", &subs) };
        let mut out = String::new();
        let template = Template::parse(template, "click_id").unwrap();
        if template.fill(&values, &mut out).is_ok() {
            prop_assert!(out.is_ascii() && !out.chars().any(|c| c.is_control() || c == ' '));
            let url = Url::parse(&out).unwrap();
            prop_assert_eq!(url.host_str(), Some("shop.example"));
            prop_assert_eq!(url.scheme(), "https");
            prop_assert!(out.starts_with(template.origin()));
        }
    }

    #[test]
    fn any_text_is_read(url in "\\PC{0,80}", tail in "[{}\\[\\]#$!a-z_0-9/?&=]{0,60}") {
        let _ = Template::parse(&url, "click_id");
        if let Ok(template) = Template::parse(&format!("https://shop.example/{tail}"), "click_id") {
            let mut out = String::new();
            template.fill(&values("ID", &[]), &mut out).unwrap();
            prop_assert!(Url::parse(&out).unwrap().host_str() == Some("shop.example"));
            prop_assert!(out.contains("ID"));
        }
    }
}

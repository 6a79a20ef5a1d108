//! What sources must not contain: long files anywhere; clocks, hash order, floats and I/O in pure crates.

pub const MAX_FILE_LINES: usize = 500;

/// A word and what to do instead. `::` may follow or stand within; letters may not adjoin, save after
/// a word that ends in `*`.
const IMPURE: &[(&str, &str)] = &[
    ("SystemTime", "take a UnixMicros as an argument"),
    ("Instant::now", "take a UnixMicros as an argument"),
    ("HashMap", "use a BTreeMap, whose order is the same everywhere"),
    ("HashSet", "use a BTreeSet, whose order is the same everywhere"),
    ("f32", "use integers: minor units, parts per million"),
    ("f64", "use integers: minor units, parts per million"),
    ("async", "decide here and let the caller wait"),
    ("std::fs", "let the caller read and write"),
    ("std::env", "take the setting as an argument"),
    ("std::thread", "let the caller run it"),
    ("std::process", "let the caller run it"),
    ("std::net::Tcp*", "let the caller connect"),
    ("std::net::Udp*", "let the caller connect"),
];

/// `path` is relative to the workspace.
pub fn violations(path: &str, source: &str, pure: bool) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.lines().count();
    if lines > MAX_FILE_LINES {
        found.push(format!("{path}: {lines} lines, at most {MAX_FILE_LINES}; split it by what it does"));
    }
    if !pure {
        return found;
    }
    for (at, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (word, advice) in IMPURE {
            if has_word(code, word) {
                let word = word.trim_end_matches('*');
                found.push(format!("{path}:{}: `{word}` in a pure crate; {advice}", at + 1));
            }
        }
    }
    found
}

fn has_word(code: &str, word: &str) -> bool {
    let stem = word.trim_end_matches('*');
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(stem).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + stem.len()..].chars().next();
        !joins(before) && (stem != word || !joins(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_words_are_found_in_pure_crates_only() {
        let cases = [
            ("use std::time::SystemTime;", true),
            ("let t = std::time::Instant::now();", true),
            ("map: HashMap<u8, u8>", true),
            ("std::collections::HashSet::new()", true),
            ("let x: f64 = 1.0;", true),
            ("as f32", true),
            ("pub async fn go()", true),
            ("use std::fs;", true),
            ("std::net::TcpStream::connect", true),
            ("use std::net::IpAddr;", false),
            ("use std::fmt;", false),
            ("// HashMap would not do: its order differs", false),
            ("/// No f64.", false),
            ("let asynchronous = MyHashMap::new();", false),
            ("0xf64", false),
        ];
        for (line, expected) in cases {
            let source = format!("fn f() {{}}\n{line}\n");
            let found = violations("proto/model/src/x.rs", &source, true);
            assert_eq!(found.len(), usize::from(expected), "{line}: {found:?}");
            assert!(found.iter().all(|v| v.starts_with("proto/model/src/x.rs:2: `")), "{found:?}");
            assert!(violations("edge/src/x.rs", &source, false).is_empty());
        }
    }

    #[test]
    fn long_files_are_found_everywhere() {
        let fits = "x\n".repeat(MAX_FILE_LINES);
        assert!(violations("a.rs", &fits, false).is_empty());
        let found = violations("a.rs", &(fits + "x"), false);
        assert_eq!(found, ["a.rs: 501 lines, at most 500; split it by what it does"]);
    }
}

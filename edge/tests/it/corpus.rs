//! What strangers send, replayed: every file of the corpus, and a few thousand mutations of each kind, the same in every
//! run. `edge/fuzz` searches for more; what it finds is added as a file.

use edge::fuzzing::TARGETS;
use std::path::Path;

const MUTATIONS: usize = 4_000;

/// xorshift64: the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// Bytes that mean something to somebody.
const SPICE: &[&[u8]] = &[
    b"{",
    b"}",
    b"[[",
    b"]]",
    b"#",
    b"!!!",
    b"${",
    b"%",
    b"%00",
    b"%0d%0a",
    b"\r\n",
    b"\0",
    b"\xff",
    b"&",
    b"=",
    b"+",
    b"//",
    b"\\",
    b"@",
    b":",
    b"?",
    b"{click_id}",
    b"{_sub1}",
    b"..",
    b"\"",
    b",",
    b"1",
    b"\xe4\xb8\xad",
    b" ",
];

fn mutated(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied());
            }
            _ => drop(bytes.splice(at..at, SPICE[numbers.below(SPICE.len())].iter().copied())),
        }
        bytes.truncate(4096);
    }
    bytes
}

#[test]
fn nothing_that_strangers_send_is_misread() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in TARGETS {
        let mut files: Vec<_> =
            std::fs::read_dir(corpus.join(target.name)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert!(!seeds.is_empty(), "{} has no corpus", target.name);
        seeds.iter().for_each(|seed| (target.run)(seed));
        let mut numbers = Numbers(0x5eed);
        for _ in 0..MUTATIONS {
            (target.run)(&mutated(&seeds, &mut numbers));
        }
    }
}

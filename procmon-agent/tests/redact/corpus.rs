//! Reads the corpus: what goes in, what must come out, and the secrets that must not.

pub(crate) struct Case {
    pub(crate) line: usize,
    pub(crate) args: Vec<u8>,
    pub(crate) expected: Vec<u8>,
    pub(crate) secrets: Vec<String>,
}

pub(crate) fn cases() -> Vec<Case> {
    let mut title = false;
    let mut cases = Vec::new();
    for (index, line) in include_str!("corpus.txt").lines().enumerate() {
        if line.starts_with("## ") {
            title = line.contains("titles");
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let text = fill(&line.replace("\\n", "\n"));
        let mut case = Case {
            line: index + 1,
            args: Vec::new(),
            expected: Vec::new(),
            secrets: Vec::new(),
        };
        for argument in text.split(" | ") {
            case.argument(&argument.replace("\\|", "|"), !title);
        }
        cases.push(case);
    }
    cases
}

impl Case {
    fn argument(&mut self, marked: &str, end: bool) {
        let mut rest = marked;
        while let Some((before, secret, after)) = next_secret(rest) {
            self.both(before);
            self.args.extend(secret.bytes());
            if !secret.is_empty() {
                self.expected
                    .extend_from_slice(procmon_agent::redact::MARKER);
                self.secrets.push(secret.to_owned());
            }
            rest = after;
        }
        self.both(rest);
        if end {
            self.both("\0");
        }
    }

    fn both(&mut self, text: &str) {
        self.args.extend(text.bytes());
        self.expected.extend(text.bytes());
    }
}

fn next_secret(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('«')?;
    let (secret, after) = rest.split_once('»')?;
    Some((before, secret, after))
}

/// Replaces `{class:N}`.
fn fill(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        if let Some((filled, used)) = filler(rest) {
            out.push_str(&filled);
            rest = &rest[used..];
        } else {
            out.push('{');
            rest = &rest[1..];
        }
    }
    out + rest
}

fn filler(text: &str) -> Option<(String, usize)> {
    let (inside, _) = text[1..].split_once('}')?;
    let (class, count) = inside.split_once(':')?;
    let alphabet: &[u8] = match class {
        "alnum" => b"Zq7Xv3Kd9mWp2Rt5",
        "hex" => b"3f9a1c7e0b5d2864",
        "upper" => b"QZ7XV3KD9MWP2RT5",
        "digits" => b"4815162342",
        _ => return None,
    };
    let count: usize = count.parse().ok()?;
    let filled = (0..count)
        .map(|index| char::from(alphabet[(index * 7 + index / 16) % alphabet.len()]))
        .collect();
    Some((filled, inside.len() + 2))
}

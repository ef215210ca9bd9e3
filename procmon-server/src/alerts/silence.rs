//! Silences: alerts that are not told about for a while, chosen by matchers as in Alertmanager.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::labels::LabelSet;
use super::matcher::Matcher;

const MAX_MATCHERS: usize = 32;
const MAX_TEXT_BYTES: usize = 4096;

/// A label and what it must, or must not, be. A label that is not there is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct MatcherText {
    pub name: String,
    pub value: String,
    /// The value is a regular expression that the whole label must match.
    #[serde(default, alias = "isRegex")]
    pub is_regex: bool,
    #[serde(default = "yes", alias = "isEqual")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

/// What is kept of a silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceText {
    pub id: String,
    pub matchers: Vec<MatcherText>,
    pub starts_ms: i64,
    pub ends_ms: i64,
    pub created_by: String,
    pub comment: String,
    pub updated_ms: i64,
}

/// A silence that was checked.
#[derive(Clone, Debug)]
pub struct Silence {
    pub text: SilenceText,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SilenceState {
    Pending,
    Active,
    Expired,
}

impl Silence {
    /// `Err` says what is wrong with it.
    pub fn new(text: SilenceText) -> Result<Self, String> {
        if text.ends_ms <= text.starts_ms {
            return Err("ends_at must be after starts_at".to_owned());
        }
        if text.comment.len() + text.created_by.len() > MAX_TEXT_BYTES {
            return Err(format!(
                "comment and created_by must not be longer than {MAX_TEXT_BYTES} bytes"
            ));
        }
        let matchers = compiled(&text.matchers)?;
        Ok(Self { text, matchers })
    }

    pub fn state(&self, now_ms: i64) -> SilenceState {
        if now_ms < self.text.starts_ms {
            SilenceState::Pending
        } else if now_ms < self.text.ends_ms {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    /// Whether it is about an alert with these labels.
    pub fn takes(&self, labels: &LabelSet) -> bool {
        takes(&self.matchers, labels)
    }

    pub fn silences(&self, labels: &LabelSet, now_ms: i64) -> bool {
        self.state(now_ms) == SilenceState::Active && self.takes(labels)
    }
}

fn takes(matchers: &[Matcher], labels: &LabelSet) -> bool {
    let mut matchers = matchers.iter();
    matchers.all(|matcher| matcher.matches(|name| labels.get(name)))
}

fn compiled(texts: &[MatcherText]) -> Result<Vec<Matcher>, String> {
    if texts.is_empty() || texts.len() > MAX_MATCHERS {
        return Err(format!("matchers must be 1 to {MAX_MATCHERS}"));
    }
    let compiled: Vec<_> = texts
        .iter()
        .map(|text| Matcher::new(&text.name, &text.value, !text.is_equal, text.is_regex))
        .collect::<Result<_, _>>()?;
    // As in Alertmanager: one that takes everything is nearly always a mistake.
    if takes(&compiled, &LabelSet::default()) {
        return Err("the matchers take every alert; one of them must need a label".to_owned());
    }
    Ok(compiled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(name: &str, value: &str, is_regex: bool, is_equal: bool) -> MatcherText {
        MatcherText {
            name: name.to_owned(),
            value: value.to_owned(),
            is_regex,
            is_equal,
        }
    }

    fn silence(matchers: Vec<MatcherText>) -> Result<Silence, String> {
        Silence::new(SilenceText {
            id: "s".to_owned(),
            matchers,
            starts_ms: 10,
            ends_ms: 20,
            created_by: String::new(),
            comment: String::new(),
            updated_ms: 0,
        })
    }

    #[test]
    fn matchers_are_those_of_alertmanager() {
        let labels = LabelSet::default().with("name", "java").with("pid", "12");
        for (matchers, taken) in [
            (vec![matcher("name", "java", false, true)], true),
            (vec![matcher("name", "jav", false, true)], false),
            (vec![matcher("name", "j.*", true, true)], true),
            (vec![matcher("name", "av", true, true)], false),
            (
                vec![
                    matcher("name", "java", false, true),
                    matcher("pid", "1|2", true, false),
                ],
                true,
            ),
            (
                vec![
                    matcher("name", "java", false, true),
                    matcher("host", "", false, true),
                ],
                true,
            ),
            (vec![matcher("host", "", false, false)], false),
        ] {
            let silence = silence(matchers.clone()).expect("a silence");
            assert_eq!(silence.takes(&labels), taken, "{matchers:?}");
        }
    }

    #[test]
    fn it_begins_and_ends() {
        let silence = silence(vec![matcher("name", "java", false, true)]).expect("a silence");
        let labels = LabelSet::default().with("name", "java");
        let at = [9, 10, 19, 20].map(|now_ms| silence.silences(&labels, now_ms));
        assert_eq!(at, [false, true, true, false]);
        assert_eq!(silence.state(20), SilenceState::Expired);
    }

    #[test]
    fn what_takes_everything_is_refused() {
        for matchers in [
            vec![],
            vec![matcher("name", ".*", true, true)],
            vec![matcher("name", "", false, true)],
            vec![matcher("na me", "x", false, true)],
            vec![matcher("name", "(", true, true)],
        ] {
            silence(matchers.clone()).expect_err("refused");
        }
    }
}

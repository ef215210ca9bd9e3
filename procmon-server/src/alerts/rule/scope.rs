//! What a rule is about: hosts, and processes or events of theirs.

use std::cell::OnceCell;
use std::sync::LazyLock;

use regex::Regex;

use super::{RuleBody, RuleError};
use crate::events::EventRow;
use crate::live::{Agent, ProcessView};
use crate::query::{Builder, Condition, Field, Kind, QueryError, Row, Value, compile};

/// Which hosts.
#[derive(Clone, Debug)]
pub struct HostScope {
    agent_id: Option<Pattern>,
    labels: Vec<(String, String)>,
}

/// A name, a pattern with `*` and `?`, or a regular expression between slashes.
#[derive(Clone, Debug)]
enum Pattern {
    Exact(String),
    Regex(Regex),
}

/// An event, and the names of the processes above the one it is about.
#[derive(Clone, Copy, Debug)]
pub struct AlertEvent<'a> {
    pub(crate) row: EventRow<'a>,
    /// The parent first, each ended by NUL. `None` where they are not known.
    pub(crate) ancestors: Option<&'a [u8]>,
}

/// A process that runs, and the names of the processes above it, which are looked for when they are asked for.
pub struct AlertProcess<'a> {
    view: &'a ProcessView<'a>,
    /// The parent first, each ended by NUL. `None` where they are not known.
    above: &'a dyn Fn() -> Option<Vec<u8>>,
    ancestors: OnceCell<Option<Vec<u8>>>,
}

/// The field that processes and events have for rules alone.
pub(crate) const ANCESTORS: &str = "ancestors";

fn with_ancestors(fields: &[Field]) -> Vec<Field> {
    let ancestors = Field {
        name: ANCESTORS,
        kind: Kind::Texts,
    };
    fields.iter().copied().chain([ancestors]).collect()
}

impl<'a> AlertProcess<'a> {
    pub fn new(view: &'a ProcessView<'a>, above: &'a dyn Fn() -> Option<Vec<u8>>) -> Self {
        Self {
            view,
            above,
            ancestors: OnceCell::new(),
        }
    }
}

/// Its fields are those of the process, and then ancestors: a condition that does not ask for them holds of the process itself.
impl Row for AlertProcess<'_> {
    fn fields() -> &'static [Field] {
        static FIELDS: LazyLock<Vec<Field>> =
            LazyLock::new(|| with_ancestors(ProcessView::fields()));
        &FIELDS
    }

    fn value(&self, field: usize) -> Value<'_> {
        if field < ProcessView::fields().len() {
            return self.view.value(field);
        }
        let ancestors = self.ancestors.get_or_init(self.above);
        ancestors.as_deref().map_or(Value::Unknown, Value::Texts)
    }

    fn settled_by(field: usize) -> Option<usize> {
        ProcessView::settled_by(field)
    }

    fn signed() -> Option<usize> {
        ProcessView::signed()
    }

    fn signature(&self) -> u64 {
        self.view.signature()
    }

    fn mark(&self, kind: usize) -> u32 {
        self.view.mark(kind)
    }
}

impl Row for AlertEvent<'_> {
    fn fields() -> &'static [Field] {
        static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| with_ancestors(EventRow::fields()));
        &FIELDS
    }

    fn value(&self, field: usize) -> Value<'_> {
        if field < EventRow::fields().len() {
            return self.row.value(field);
        }
        self.ancestors.map_or(Value::Unknown, Value::Texts)
    }
}

impl HostScope {
    pub(super) fn new(body: &RuleBody) -> Result<Self, RuleError> {
        let agent_id = body.agent_id.as_deref().filter(|text| !text.is_empty());
        Ok(Self {
            agent_id: agent_id
                .map(|text| Pattern::new("agent_id", text))
                .transpose()?,
            labels: body.agent_labels.clone().into_iter().collect(),
        })
    }

    pub fn takes(&self, agent_id: &str, agent: &Agent) -> bool {
        let labels = &agent.health.labels;
        self.agent_id
            .as_ref()
            .is_none_or(|pattern| pattern.takes(agent_id))
            && self
                .labels
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    }
}

impl Pattern {
    fn new(key: &str, text: &str) -> Result<Self, RuleError> {
        let Some(source) = expression_of(text) else {
            return Ok(Self::Exact(text.to_owned()));
        };
        let compiled = Regex::new(&source);
        compiled.map(Self::Regex).map_err(|error| {
            RuleError::new(key, format!("{text} is not a regular expression: {error}"))
        })
    }

    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// The regular expression that a pattern stands for; `None` for a name.
fn expression_of(text: &str) -> Option<String> {
    let between_slashes = text
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'));
    if let Some(source) = between_slashes.filter(|source| !source.is_empty()) {
        return Some(source.to_owned());
    }
    if !text.contains(['*', '?']) {
        return None;
    }
    let mut source = String::from("^(?s:");
    for letter in text.chars() {
        match letter {
            '*' => source.push_str(".*"),
            '?' => source.push('.'),
            letter => source.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    source.push_str(")$");
    Some(source)
}

/// What must hold of a process or an event.
pub(super) fn condition<R: Row>(body: &RuleBody) -> Result<Condition, RuleError> {
    let name = match body.process_name.as_str() {
        "" => None,
        name => Some(name_condition::<R>(name)?),
    };
    let expression = match body.q.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(source) => Some(compile::<R>(source).map_err(|error| {
            let QueryError { column, message } = error;
            RuleError::new("q", format!("column {column}: {message}"))
        })?),
    };
    Ok(Builder::<R>::default()
        .equals("pid", body.named_pid())
        .user(given(body.user.as_deref()))
        .starts_with("container_id", given(body.container.as_deref()))
        .contains("cgroup", given(body.cgroup.as_deref()))
        .also(name)
        .also(expression)
        .build()
        .remembering::<R>())
}

fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn name_condition<R: Row>(name: &str) -> Result<Condition, RuleError> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let source = match expression_of(name) {
        Some(expression) => format!("name.matches({})", quoted(&expression)),
        None => format!("name == {}", quoted(name)),
    };
    compile::<R>(&source)
        .map_err(|error| RuleError::new("process_name", format!("{name}: {}", error.message)))
}

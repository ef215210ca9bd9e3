//! Answers that rows have in common. A condition that looks at nothing but the name of a process, say, is asked once for each
//! name and not for each process: rows say by marks what they have in common.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::condition::{Condition, Scope, Test};
use super::number::Number;
use super::operand::TextExpression;
use super::value::Row;

/// A condition that is settled by what marks stand for.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    /// Of this condition and its copies.
    id: u64,
    by: usize,
    /// Where it cannot be true, as the signature of the row says.
    signature: u64,
    condition: Condition,
}

/// Conditions whose answers are kept in one scan; others are asked each time. A bound on memory: an answer takes a byte.
const CONDITIONS: usize = 4;

/// The answers of one scan, by the condition and the mark. Marks are dense: there are not many more than things that rows have in common.
#[derive(Debug, Default)]
pub(super) struct Known(RefCell<Vec<(u64, Vec<Answer>)>>);

#[derive(Clone, Copy, Debug, Default)]
enum Answer {
    #[default]
    NotAsked,
    False,
    True,
    Unknown,
}

impl Known {
    fn get(&self, id: u64, mark: u32) -> Answer {
        let known = self.0.borrow();
        let answers = known.iter().find(|(of, _)| *of == id);
        let answer = answers.and_then(|(_, answers)| answers.get(mark as usize));
        answer.copied().unwrap_or_default()
    }

    fn put(&self, id: u64, mark: u32, answer: Option<bool>) {
        let mut known = self.0.borrow_mut();
        let place = known.iter().position(|(of, _)| *of == id);
        let place = match place {
            Some(place) => place,
            None if known.len() == CONDITIONS => return,
            None => {
                known.push((id, Vec::new()));
                known.len() - 1
            }
        };
        let (_, answers) = &mut known[place];
        let mark = mark as usize;
        if mark >= answers.len() {
            answers.resize((mark + 1).next_power_of_two(), Answer::NotAsked);
        }
        answers[mark] = match answer {
            Some(false) => Answer::False,
            Some(true) => Answer::True,
            None => Answer::Unknown,
        };
    }
}

impl Remembered {
    pub(super) fn evaluate<R: Row>(&self, scope: &Scope<'_, R>) -> Option<bool> {
        if self.signature & !scope.row.signature() != 0 {
            return Some(false);
        }
        let mark = scope.row.mark(self.by);
        if mark == 0 {
            return self.condition.evaluate(scope);
        }
        match scope.meter.known.get(self.id, mark) {
            Answer::False => Some(false),
            Answer::True => Some(true),
            Answer::Unknown => None,
            Answer::NotAsked => {
                let answer = self.condition.evaluate(scope);
                scope.meter.known.put(self.id, mark, answer);
                answer
            }
        }
    }
}

/// What settles a condition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// It asks nothing of the row.
    Always,
    By(usize),
    /// Nothing less than the whole row.
    ByRow,
}

impl Condition {
    /// The same condition, which is asked only once about what rows have in common.
    #[must_use]
    pub fn remembering<R: Row>(self) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut settled = Settled::Always;
        self.each_field(&mut |field| {
            settled = match (settled, R::settled_by(field)) {
                (Settled::Always, Some(by)) => Settled::By(by),
                (Settled::By(one), Some(by)) if one == by => settled,
                _ => Settled::ByRow,
            };
        });
        match (settled, self.0) {
            (Settled::By(by), test) => Self(Test::Remembered(Box::new(Remembered {
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                by,
                signature: test.signature::<R>(),
                condition: Self(test),
            }))),
            (Settled::ByRow, Test::All(parts)) => Self::all(remembering::<R>(parts)),
            (Settled::ByRow, Test::Any(parts)) => Self::any(remembering::<R>(parts)),
            (Settled::ByRow, Test::Not(part)) => Self(Test::Not(Box::new(part.remembering::<R>()))),
            (Settled::ByRow, Test::If(parts)) => {
                Self(Test::If(Box::new(parts.map(Self::remembering::<R>))))
            }
            (Settled::ByRow, Test::Same(parts)) => {
                Self(Test::Same(Box::new(parts.map(Self::remembering::<R>))))
            }
            (Settled::Always | Settled::ByRow, test) => Self(test),
        }
    }

    /// Whether something of it is settled by marks of a kind; and the bits without which a row's signature settles it.
    pub fn remembers(&self, by: usize) -> Option<u64> {
        let all = |parts: &[Self]| {
            let parts = parts.iter().filter_map(|part| part.remembers(by));
            parts.reduce(|one, other| one & other)
        };
        match &self.0 {
            Test::Remembered(remembered) => (remembered.by == by).then_some(remembered.signature),
            Test::All(parts) | Test::Any(parts) => all(parts),
            Test::Not(part) => part.remembers(by),
            Test::If(parts) => all(&parts[..]),
            Test::Same(parts) => all(&parts[..]),
            _ => None,
        }
    }

    /// The names of all that it looks at.
    pub fn fields<R: Row>(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.each_field(&mut |field| {
            names.extend(R::fields().get(field).map(|field| field.name));
        });
        names.sort_unstable();
        names.dedup();
        names
    }

    fn each_field(&self, visit: &mut dyn FnMut(usize)) {
        match &self.0 {
            Test::Constant(_) | Test::Unknown => {}
            Test::Field(field) | Test::Known(field) | Test::Compare(field, ..) => visit(*field),
            Test::KnownNumber(number) | Test::AmongNumbers(number, _) => number.each_field(visit),
            Test::KnownText(text)
            | Test::Is(text, _)
            | Test::AmongTexts(text, _)
            | Test::Find(text, ..)
            | Test::FindFolded(text, _)
            | Test::Matches(text, _) => text.each_field(visit),
            Test::Not(part) | Test::KnownCondition(part) => part.each_field(visit),
            Test::Remembered(remembered) => remembered.condition.each_field(visit),
            Test::All(parts) | Test::Any(parts) => each_of(parts, visit),
            Test::If(parts) => each_of(&parts[..], visit),
            Test::Same(parts) => each_of(&parts[..], visit),
            Test::Numbers(_, operands) => {
                operands.iter().for_each(|one| one.each_field(visit));
            }
            Test::Texts(_, operands) | Test::FindText(_, operands) => {
                operands.iter().for_each(|one| one.each_field(visit));
            }
            Test::NumberInList(number, list) => {
                visit(list.field);
                number.each_field(visit);
            }
            Test::TextInList(text, list) => {
                visit(list.field);
                text.each_field(visit);
            }
            Test::Quantified(_, list, part) => {
                visit(list.field);
                part.each_field(visit);
            }
        }
    }
}

impl Test {
    /// The bits without which it is false.
    fn signature<R: Row>(&self) -> u64 {
        match self {
            Self::Find(TextExpression::Field(field), _, needle) if R::signed() == Some(*field) => {
                needle.signature()
            }
            Self::FindFolded(TextExpression::Field(field), needle)
                if R::signed() == Some(*field) =>
            {
                needle.signature()
            }
            _ => 0,
        }
    }
}

fn remembering<R: Row>(parts: Vec<Condition>) -> Vec<Condition> {
    parts.into_iter().map(Condition::remembering::<R>).collect()
}

fn each_of(parts: &[Condition], visit: &mut dyn FnMut(usize)) {
    for part in parts {
        part.each_field(visit);
    }
}

impl Number {
    fn each_field(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Constant(_) | Self::Unknown | Self::Element => {}
            Self::Field(field) => visit(*field),
            Self::Length(list) => visit(list.field),
            Self::At(list, index) => {
                visit(list.field);
                index.each_field(visit);
            }
            Self::TextLength(text) => text.each_field(visit),
            Self::Negate(number) | Self::Int(number) | Self::Double(number) => {
                number.each_field(visit);
            }
            Self::Calculate(_, operands) => {
                operands.iter().for_each(|one| one.each_field(visit));
            }
            Self::If(parts) => {
                let (condition, then, otherwise) = &**parts;
                condition.each_field(visit);
                then.each_field(visit);
                otherwise.each_field(visit);
            }
        }
    }
}

impl TextExpression {
    fn each_field(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Constant(_) | Self::Unknown | Self::Element => {}
            Self::Field(field) => visit(*field),
            Self::At(list, index) => {
                visit(list.field);
                index.each_field(visit);
            }
            Self::Lower(text) => text.each_field(visit),
            Self::If(parts) => {
                let (condition, then, otherwise) = &**parts;
                condition.each_field(visit);
                then.each_field(visit);
                otherwise.each_field(visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::super::signature::signature;
    use super::super::value::{Field, Kind, Text, Value};
    use super::super::{Meter, compile};
    use super::*;

    struct Program {
        mark: u32,
        command: Option<&'static str>,
        size: Option<i64>,
        asked: Cell<usize>,
    }

    const FIELDS: &[Field] = &[
        Field {
            name: "command",
            kind: Kind::Text,
        },
        Field {
            name: "size",
            kind: Kind::Int,
        },
    ];

    impl Row for Program {
        fn fields() -> &'static [Field] {
            FIELDS
        }

        fn value(&self, field: usize) -> Value<'_> {
            if field == 1 {
                return Value::int(self.size);
            }
            self.asked.set(self.asked.get() + 1);
            let command = self.command.map(|text| Text::joined(text.as_bytes()));
            command.map_or(Value::Unknown, Value::Text)
        }

        fn settled_by(field: usize) -> Option<usize> {
            (field == 0).then_some(7)
        }

        fn mark(&self, kind: usize) -> u32 {
            if kind == 7 { self.mark } else { 0 }
        }

        fn signed() -> Option<usize> {
            Some(0)
        }

        fn signature(&self) -> u64 {
            self.command
                .map_or(u64::MAX, |text| signature(text.as_bytes()))
        }
    }

    const COMMANDS: [Option<&str>; 4] = [None, Some("sh\0-c\0true"), Some("SH"), Some("")];

    fn program(mark: u32, size: Option<i64>) -> Program {
        Program {
            mark,
            command: COMMANDS[mark as usize % COMMANDS.len()],
            size,
            asked: Cell::new(0),
        }
    }

    #[test]
    fn equal_marks_are_asked_once() {
        let condition = compile::<Program>("command.contains('true') && size > 1")
            .expect("an expression")
            .remembering::<Program>();
        let meter = Meter::default();
        let rows = [1, 1, 5, 2].map(|mark| program(mark, Some(2)));
        let held = rows.each_ref().map(|row| condition.holds(row, &meter));
        assert_eq!(held, [true, true, true, false]);
        let asked = rows.each_ref().map(|row| row.asked.get());
        assert_eq!(asked, [1, 0, 1, 0], "the signature of the last says no");
    }

    proptest! {
        #[test]
        fn to_remember_changes_no_answer(
            marks in proptest::collection::vec((0..9_u32, proptest::option::of(0..3_i64)), 1..20),
            which in 0..8_usize,
        ) {
            let source = [
                "command == 'SH'",
                "command.contains('sh -c')",
                "!command.contains('true')",
                "command != 'SH' || size > 1",
                "!(command.startsWith('sh') && size == 1)",
                "command == null",
                "size > 0 ? command.contains('-c') : command == 'SH'",
                "(command == '') == (size == 0)",
            ][which];
            let plain = compile::<Program>(source).expect("an expression");
            let remembering = plain.clone().remembering::<Program>();
            let meter = Meter::default();
            for (mark, size) in marks {
                let row = program(mark, size);
                prop_assert_eq!(
                    remembering.holds(&row, &meter),
                    plain.holds(&row, &Meter::default()),
                    "{} of {:?}", source, row.command
                );
            }
        }
    }
}

//! From characters to tokens.

use super::QueryError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Of the expression.
    End,
    Name(String),
    /// Without its sign.
    Int(u64),
    Double(f64),
    Text(String),
    /// An operator, a bracket, or the word `in`.
    Symbol(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) column: usize,
    pub(super) token: Token,
}

/// Longer ones first.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "+", "-",
    "*", "/", "%", "!", "<", ">",
];

const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// All tokens; the last is [`Token::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<Placed>, QueryError> {
    let mut lexer = Lexer {
        rest: source,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let column = lexer.column;
        let token = lexer.token()?;
        let ended = token == Token::End;
        tokens.push(Placed { column, token });
        if ended {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    column: usize,
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.rest = &self.rest[letter.len_utf8()..];
        self.column += 1;
        Some(letter)
    }

    /// The characters that fulfil a condition, passed over.
    fn take_while(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|letter| !holds(letter));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.column += taken.chars().count();
        self.rest = rest;
        taken
    }

    fn eat(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        self.column += text.chars().count();
        true
    }

    fn skip_blank(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest.starts_with("//") {
                return;
            }
            self.take_while(|letter| letter != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, QueryError> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        let begins_fraction = first == '.'
            && self
                .rest
                .chars()
                .nth(1)
                .is_some_and(|next| next.is_ascii_digit());
        if first.is_ascii_digit() || begins_fraction {
            return self.number();
        }
        if matches!(first, '"' | '\'') {
            return self.text(false);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return self.word();
        }
        match SYMBOLS.iter().find(|symbol| self.eat(symbol)) {
            Some(symbol) => Ok(Token::Symbol(symbol)),
            None => Err(self.stray(first)),
        }
    }

    fn stray(&self, letter: char) -> QueryError {
        let message = match letter {
            '=' => "= is no operator; compare with ==".to_owned(),
            '&' => "& is no operator; write && for and".to_owned(),
            '|' => "| is no operator; write || for or".to_owned(),
            '~' => "~ is no operator; write name.matches('pattern') for a regular expression"
                .to_owned(),
            '“' | '”' | '‘' | '’' => {
                "write texts in straight quotes: \"…\" or '…'".to_owned()
            }
            _ => format!("{letter} has no meaning here"),
        };
        QueryError::new(self.column, message)
    }

    fn word(&mut self) -> Result<Token, QueryError> {
        let column = self.column;
        let word = self.take_while(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let quoted = self.rest.starts_with(['"', '\'']);
        if quoted && matches!(word, "r" | "R") {
            return self.text(true);
        }
        if quoted && word.len() <= 2 && word.to_ascii_lowercase().contains('b') {
            let message = "bytes are not supported; write a text: \"…\"";
            return Err(QueryError::new(column, message));
        }
        if word == "in" {
            return Ok(Token::Symbol("in"));
        }
        if RESERVED.contains(&word) {
            let message = format!("{word} is a reserved word of CEL");
            return Err(QueryError::new(column, message));
        }
        Ok(Token::Name(word.to_owned()))
    }

    fn number(&mut self) -> Result<Token, QueryError> {
        let column = self.column;
        if self.eat("0x") || self.eat("0X") {
            let digits = self.take_while(|letter| letter.is_ascii_hexdigit());
            let value = u64::from_str_radix(digits, 16);
            self.take_while(|letter| matches!(letter, 'u' | 'U'));
            return value
                .map(Token::Int)
                .map_err(|_| QueryError::new(column, "this is no number that fits in 64 bits"));
        }
        let start = self.rest;
        self.take_while(|letter| letter.is_ascii_digit());
        let mut whole = true;
        // `1.size()` is no number with a fraction.
        let mut ahead = self.rest.chars();
        if ahead.next() == Some('.') && ahead.next().is_some_and(|next| next.is_ascii_digit()) {
            whole = false;
            self.next();
            self.take_while(|letter| letter.is_ascii_digit());
        }
        if self.rest.starts_with(['e', 'E']) {
            whole = false;
            self.next();
            if self.rest.starts_with(['+', '-']) {
                self.next();
            }
            self.take_while(|letter| letter.is_ascii_digit());
        }
        let text = &start[..start.len() - self.rest.len()];
        if self.rest.starts_with('%') && !self.rest[1..].contains(|letter| letter != ' ') {
            let message = "percent is the unit of the fields themselves; leave the % out";
            return Err(QueryError::new(self.column, message));
        }
        let value = if whole {
            self.take_while(|letter| matches!(letter, 'u' | 'U'));
            text.parse().ok().map(Token::Int)
        } else {
            let double = text.parse::<f64>().ok();
            double.filter(|value| value.is_finite()).map(Token::Double)
        };
        if self
            .peek()
            .is_some_and(|letter| letter.is_ascii_alphabetic())
        {
            let message = "numbers have no units here: percent, bytes and milliseconds are those of the fields; durations \
                           are written duration('5s')";
            return Err(QueryError::new(self.column, message));
        }
        value.ok_or_else(|| QueryError::new(column, format!("{text} is no number that fits")))
    }

    /// A text from its opening quote to its closing one.
    fn text(&mut self, raw: bool) -> Result<Token, QueryError> {
        let column = self.column;
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| self.eat(quote))
            .unwrap_or("\"");
        let mut text = String::new();
        loop {
            if self.eat(quote) {
                return Ok(Token::Text(text));
            }
            let at = self.column;
            match self.next() {
                Some('\\') if !raw => text.push(self.escape(at)?),
                Some('\n' | '\r') if quote.len() == 1 => {
                    return Err(QueryError::new(
                        at,
                        "a text in single quotes ends on its line",
                    ));
                }
                Some(letter) => text.push(letter),
                None => {
                    let message = format!("the text that begins here has no closing {quote}");
                    return Err(QueryError::new(column, message));
                }
            }
        }
    }

    /// What a backslash makes of the characters after it.
    fn escape(&mut self, column: usize) -> Result<char, QueryError> {
        let wrong = || {
            let message = "this is no escape of CEL; write \\\\ for a backslash, or r'…' for a text without escapes";
            QueryError::new(column, message)
        };
        let letter = self.next().ok_or_else(wrong)?;
        let (digits, radix) = match letter {
            '\\' | '"' | '\'' | '`' | '?' => return Ok(letter),
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => (2, 8),
            _ => return Err(wrong()),
        };
        let mut code = if radix == 8 {
            letter.to_digit(8).unwrap_or(0)
        } else {
            0
        };
        for _ in 0..digits {
            let digit = self.next().and_then(|digit| digit.to_digit(radix));
            // Eight hex digits fit exactly.
            code = code.wrapping_mul(radix) + digit.ok_or_else(wrong)?;
        }
        char::from_u32(code).ok_or_else(wrong)
    }
}

//! From tokens to a tree.

use super::lex::{Placed, Token, tokens};
use super::tree::{Node, NodeKind};
use super::{MAX_BYTES, QueryError};

/// How deep brackets, conditionals and calls may be nested: what the parser's own stack has to hold.
const MAX_NESTING: usize = 32;
/// How deep the tree may be, chains of operators included: the stack of whoever walks it.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 1024;

pub(super) fn parse(source: &str) -> Result<Node, QueryError> {
    if source.len() > MAX_BYTES {
        let message = format!("the expression is longer than {MAX_BYTES} bytes");
        return Err(QueryError::new(1, message));
    }
    let mut parser = Parser {
        tokens: tokens(source)?,
        at: 0,
        nesting: 0,
        nodes: 0,
    };
    let node = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(node),
        Token::Name(word) if matches!(word.as_str(), "and" | "AND") => {
            Err(parser.wrong("write && for and"))
        }
        Token::Name(word) if matches!(word.as_str(), "or" | "OR") => {
            Err(parser.wrong("write || for or"))
        }
        _ => Err(parser.wrong(&format!(
            "expected an operator or the end, found {}",
            parser.found()
        ))),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    nesting: usize,
    nodes: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn column(&self) -> usize {
        self.tokens[self.at].column
    }

    /// Passes over the current token; the last one stays.
    fn advance(&mut self) -> Token {
        let token = self.tokens[self.at].token.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(found) if *found == symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), QueryError> {
        if self.eat(symbol) {
            return Ok(());
        }
        Err(self.wrong(&format!("expected {symbol}, found {}", self.found())))
    }

    fn wrong(&self, message: &str) -> QueryError {
        QueryError::new(self.column(), message)
    }

    /// The current token as people would name it.
    fn found(&self) -> String {
        match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Name(name) => name.clone(),
            Token::Int(value) => value.to_string(),
            Token::Double(value) => value.to_string(),
            Token::Text(_) => "a text".to_owned(),
            Token::Symbol(symbol) => (*symbol).to_owned(),
        }
    }

    fn node(&mut self, column: usize, kind: NodeKind) -> Result<Node, QueryError> {
        let node = Node::new(column, kind);
        self.nodes += 1;
        if node.depth() > MAX_DEPTH || self.nodes > MAX_NODES {
            let message = "the expression is too big; ask for less at once";
            return Err(QueryError::new(column, message));
        }
        Ok(node)
    }

    fn expression(&mut self) -> Result<Node, QueryError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.wrong("the expression is nested too deep"));
        }
        let node = self.conditional();
        self.nesting -= 1;
        node
    }

    fn conditional(&mut self) -> Result<Node, QueryError> {
        let condition = self.chain("||")?;
        let column = self.column();
        if !self.eat("?") {
            return Ok(condition);
        }
        let then = self.chain("||")?;
        self.expect(":")?;
        let otherwise = self.expression()?;
        let parts = Box::new([condition, then, otherwise]);
        self.node(column, NodeKind::If(parts))
    }

    /// Operands joined by `&&` or `||`, of which there may be many.
    fn chain(&mut self, symbol: &'static str) -> Result<Node, QueryError> {
        let operand = |parser: &mut Self| {
            if symbol == "||" {
                parser.chain("&&")
            } else {
                parser.relation()
            }
        };
        let first = operand(self)?;
        let column = self.column();
        if !self.eat(symbol) {
            return Ok(first);
        }
        let mut operands = vec![first, operand(self)?];
        while self.eat(symbol) {
            operands.push(operand(self)?);
        }
        let kind = if symbol == "||" {
            NodeKind::Any(operands)
        } else {
            NodeKind::All(operands)
        };
        self.node(column, kind)
    }

    fn relation(&mut self) -> Result<Node, QueryError> {
        const RELATIONS: &[&str] = &["==", "!=", "<", "<=", ">", ">=", "in"];
        self.binary(RELATIONS, Self::sum)
    }

    fn sum(&mut self) -> Result<Node, QueryError> {
        self.binary(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Result<Node, QueryError> {
        self.binary(&["*", "/", "%"], Self::unary)
    }

    fn binary(
        &mut self,
        operators: &[&'static str],
        operand: fn(&mut Self) -> Result<Node, QueryError>,
    ) -> Result<Node, QueryError> {
        let mut left = operand(self)?;
        loop {
            let column = self.column();
            let Some(operator) = operators.iter().find(|operator| self.eat(operator)) else {
                return Ok(left);
            };
            let right = operand(self)?;
            let kind = NodeKind::Binary(operator, Box::new([left, right]));
            left = self.node(column, kind)?;
        }
    }

    fn unary(&mut self) -> Result<Node, QueryError> {
        let column = self.column();
        for symbol in ["!", "-"] {
            let mut count = 0;
            while self.eat(symbol) {
                count += 1;
            }
            if count == 0 {
                continue;
            }
            if symbol == "-" && count == 1 && matches!(self.peek(), Token::Int(_)) {
                return self.negative_number(column);
            }
            let mut node = self.member()?;
            // More of them than two say nothing new.
            for _ in 0..(2 - count % 2) {
                let child = Box::new(node);
                let kind = if symbol == "!" {
                    NodeKind::Not(child)
                } else {
                    NodeKind::Negate(child)
                };
                node = self.node(column, kind)?;
            }
            return Ok(node);
        }
        self.member()
    }

    fn negative_number(&mut self, column: usize) -> Result<Node, QueryError> {
        let Token::Int(magnitude) = self.advance() else {
            return Err(self.wrong("expected a number"));
        };
        let value = 0_i64
            .checked_sub_unsigned(magnitude)
            .ok_or_else(|| QueryError::new(column, "this number does not fit in 64 bits"))?;
        self.node(column, NodeKind::Int(value))
    }

    fn member(&mut self) -> Result<Node, QueryError> {
        let mut node = self.primary()?;
        loop {
            let column = self.column();
            if self.eat(".") {
                // What is wrong with the name points at the name.
                let column = self.column();
                let Token::Name(name) = self.peek().clone() else {
                    return Err(self.wrong("expected a name after the dot"));
                };
                self.advance();
                let target = Box::new(node);
                let kind = if self.eat("(") {
                    NodeKind::Call {
                        target: Some(target),
                        function: name,
                        arguments: self.list(")")?,
                    }
                } else {
                    NodeKind::Select(target, name)
                };
                node = self.node(column, kind)?;
            } else if self.eat("[") {
                let index = self.expression()?;
                self.expect("]")?;
                node = self.node(column, NodeKind::Index(Box::new([node, index])))?;
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, QueryError> {
        let column = self.column();
        match self.peek().clone() {
            Token::Int(value) => {
                let value = i64::try_from(value)
                    .map_err(|_| self.wrong("this number does not fit in 64 bits"))?;
                self.advance();
                self.node(column, NodeKind::Int(value))
            }
            Token::Double(value) => {
                self.advance();
                self.node(column, NodeKind::Double(value))
            }
            Token::Text(text) => {
                self.advance();
                self.node(column, NodeKind::Text(text))
            }
            Token::Name(name) => {
                self.advance();
                self.name(column, name)
            }
            Token::Symbol("(") => {
                self.advance();
                let node = self.expression()?;
                self.expect(")")?;
                Ok(node)
            }
            Token::Symbol("[") => {
                self.advance();
                let elements = self.list("]")?;
                self.node(column, NodeKind::List(elements))
            }
            Token::Symbol("{") => {
                Err(self.wrong("maps are not supported; compare fields one by one"))
            }
            _ => Err(self.wrong(&format!("expected a value, found {}", self.found()))),
        }
    }

    /// A literal word, a field, or a function with its arguments.
    fn name(&mut self, column: usize, name: String) -> Result<Node, QueryError> {
        let kind = match name.as_str() {
            "true" => NodeKind::Bool(true),
            "false" => NodeKind::Bool(false),
            "null" => NodeKind::Null,
            "not" | "NOT" => return Err(QueryError::new(column, "write ! for not")),
            _ if self.eat("(") => NodeKind::Call {
                target: None,
                function: name,
                arguments: self.list(")")?,
            },
            _ => NodeKind::Name(name),
        };
        self.node(column, kind)
    }

    /// Expressions up to a closing bracket; a comma after the last is allowed.
    fn list(&mut self, close: &'static str) -> Result<Vec<Node>, QueryError> {
        let mut elements = Vec::new();
        while !self.eat(close) {
            elements.push(self.expression()?);
            if !self.eat(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(elements)
    }
}

//! Expressions and what they give.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    operation::{FUNCTIONS, calculate, call, element, method},
    token::{self, Token},
    value::{Exception, MAX_SIZE, Value},
};

/// Expressions within expressions.
const MAX_DEPTH: u32 = 48;

type Valued = Result<Value, Exception>;

/// Evaluates while it reads.
pub(super) struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: u32,
    variables: &'a BTreeMap<String, Value>,
    environment: &'a BTreeMap<String, String>,
}

/// What a call was given.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) values: Vec<Value>,
    pub(super) named: BTreeMap<String, Value>,
    /// Whether it says `file=sys.stderr`.
    pub(super) to_stderr: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        tokens: &'a [Token],
        variables: &'a BTreeMap<String, Value>,
        environment: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { tokens, at: 0, depth: 0, variables, environment }
    }

    /// The value of all tokens.
    pub(super) fn whole(mut self) -> Valued {
        let value = self.expression()?;
        if self.at < self.tokens.len() { Err(Exception::syntax()) } else { Ok(value) }
    }

    /// The arguments of a call that all tokens are, from its opening parenthesis on.
    pub(super) fn only_arguments(mut self) -> Result<Arguments, Exception> {
        let arguments = self.arguments()?;
        if self.at < self.tokens.len() { Err(Exception::syntax()) } else { Ok(arguments) }
    }

    fn expression(&mut self) -> Valued {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Exception::new("RecursionError", "maximum recursion depth exceeded"));
        }
        let value = self.either();
        self.depth -= 1;
        let value = value?;
        if value.size() > MAX_SIZE {
            return Err(Exception::new("MemoryError", ""));
        }
        Ok(value)
    }

    fn either(&mut self) -> Valued {
        let mut left = self.both()?;
        while self.word("or") {
            let right = self.both()?;
            left = if left.is_true() { left } else { right };
        }
        Ok(left)
    }

    fn both(&mut self) -> Valued {
        let mut left = self.negation()?;
        while self.word("and") {
            let right = self.negation()?;
            left = if left.is_true() { right } else { left };
        }
        Ok(left)
    }

    fn negation(&mut self) -> Valued {
        let mut negations = 0usize;
        while self.word("not") {
            negations += 1;
        }
        let value = self.comparison()?;
        Ok(match negations {
            0 => value,
            count => Value::Bool(value.is_true() == count.is_multiple_of(2)),
        })
    }

    fn comparison(&mut self) -> Valued {
        let left = self.sum()?;
        let Some(sign) = self.sign(&["==", "!=", "<=", ">=", "<", ">"]) else { return Ok(left) };
        let right = self.sum()?;
        let ordering = match (&left, &right) {
            (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            _ => match (left.float(), right.float()) {
                (Some(left), Some(right)) => left.partial_cmp(&right),
                _ if left == right => Some(Ordering::Equal),
                _ => None,
            },
        };
        let comparable = (left.float().is_some() && right.float().is_some())
            || matches!((&left, &right), (Value::Text(_), Value::Text(_)));
        let holds = match sign {
            "==" => ordering == Some(Ordering::Equal),
            "!=" => ordering != Some(Ordering::Equal),
            _ if !comparable => {
                let (left, right) = (left.kind(), right.kind());
                return Err(Exception::types(format!(
                    "'{sign}' not supported between instances of '{left}' and '{right}'"
                )));
            }
            "<" => ordering == Some(Ordering::Less),
            ">" => ordering == Some(Ordering::Greater),
            "<=" => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
            _ => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        };
        Ok(Value::Bool(holds))
    }

    fn sum(&mut self) -> Valued {
        let mut left = self.product()?;
        while let Some(sign) = self.sign(&["+", "-"]) {
            let right = self.product()?;
            left = calculate(sign, &left, &right)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Valued {
        let mut left = self.signed()?;
        while let Some(sign) = self.sign(&["*", "//", "/", "%"]) {
            let right = self.signed()?;
            left = calculate(sign, &left, &right)?;
        }
        Ok(left)
    }

    fn signed(&mut self) -> Valued {
        let mut negative = false;
        let mut any = false;
        while let Some(sign) = self.sign(&["-", "+"]) {
            negative ^= sign == "-";
            any = true;
        }
        let value = self.power()?;
        if !any {
            return Ok(value);
        }
        let Some(number) = value.number() else {
            return Err(Exception::types(format!(
                "bad operand type for unary -: '{}'",
                value.kind()
            )));
        };
        if negative { calculate("-", &Value::Int(0), &number) } else { Ok(number) }
    }

    fn power(&mut self) -> Valued {
        let base = self.trailed()?;
        if self.sign(&["**"]).is_none() {
            return Ok(base);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Exception::new("RecursionError", "maximum recursion depth exceeded"));
        }
        let exponent = self.signed()?;
        self.depth -= 1;
        calculate("**", &base, &exponent)
    }

    /// A value and what follows it: an index or a method.
    fn trailed(&mut self) -> Valued {
        let mut value = self.atom()?;
        loop {
            if self.sign(&["["]).is_some() {
                let index = self.expression()?;
                self.expect("]")?;
                value = element(&value, &index)?;
            } else if self.sign(&["."]).is_some() {
                let name = self.name()?;
                let arguments = self.arguments()?;
                value = method(&value, &name, &arguments.values)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn atom(&mut self) -> Valued {
        let token = self.tokens.get(self.at).ok_or_else(Exception::syntax)?;
        self.at += 1;
        match token {
            Token::Int(value) => Ok(Value::Int(*value)),
            Token::Float(value) => Ok(Value::Float(*value)),
            Token::Text(text) => {
                let mut text = text.clone();
                // Texts that stand side by side are one.
                while let Some(Token::Text(more)) = self.tokens.get(self.at) {
                    text.push_str(more);
                    self.at += 1;
                }
                Ok(Value::Text(text))
            }
            Token::Template(text) => self.template(text),
            Token::Sign("(") => {
                let value = self.expression()?;
                self.expect(")")?;
                Ok(value)
            }
            Token::Sign("[") => {
                let mut values = Vec::new();
                while self.sign(&["]"]).is_none() {
                    values.push(self.expression()?);
                    if self.sign(&[","]).is_none() {
                        self.expect("]")?;
                        break;
                    }
                }
                Ok(Value::List(values))
            }
            Token::Name(name) => self.named(name),
            Token::Sign(_) | Token::End => Err(Exception::syntax()),
        }
    }

    fn named(&mut self, name: &str) -> Valued {
        match name {
            "True" => return Ok(Value::Bool(true)),
            "False" => return Ok(Value::Bool(false)),
            "None" => return Ok(Value::None),
            "os" => return self.os(),
            _ => {}
        }
        if let Some(value) = self.variables.get(name) {
            return Ok(value.clone());
        }
        if self.tokens.get(self.at) == Some(&Token::Sign("(")) && FUNCTIONS.contains(&name) {
            let arguments = self.arguments()?;
            return call(name, &arguments.values);
        }
        Err(Exception::new("NameError", format!("name '{name}' is not defined")))
    }

    /// `os.environ["X"]`, `os.environ.get("X")` and `os.getenv("X")`.
    fn os(&mut self) -> Valued {
        self.expect(".")?;
        let what = self.name()?;
        if what == "environ" && self.sign(&["["]).is_some() {
            let name = self.expression()?;
            self.expect("]")?;
            let found = self.environment.get(&name.text()).cloned().map(Value::Text);
            return found.ok_or_else(|| Exception::new("KeyError", name.repr()));
        }
        if what == "environ" {
            self.expect(".")?;
            if self.name()? != "get" {
                return Err(Exception::syntax());
            }
        } else if what != "getenv" {
            let message = format!("module 'os' has no attribute '{what}'");
            return Err(Exception::new("AttributeError", message));
        }
        let arguments = self.arguments()?;
        let mut values = arguments.values.into_iter();
        let name = values.next().ok_or_else(|| Exception::types("a name is missing"))?;
        let found = self.environment.get(&name.text()).cloned().map(Value::Text);
        Ok(found.or_else(|| values.next()).unwrap_or(Value::None))
    }

    fn template(&mut self, text: &str) -> Valued {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                filled.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let (inner, after) = inner.ok_or_else(Exception::syntax)?;
            let mut tokens = token::tokens(inner.trim())?;
            tokens.pop();
            let mut reader = Reader::new(&tokens, self.variables, self.environment);
            reader.depth = self.depth + 1;
            filled.push_str(&reader.whole()?.text());
            if filled.len() > MAX_SIZE {
                return Err(Exception::new("MemoryError", ""));
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(Value::Text(filled))
    }

    fn arguments(&mut self) -> Result<Arguments, Exception> {
        self.expect("(")?;
        let mut arguments = Arguments::default();
        while self.sign(&[")"]).is_none() {
            match self.tokens.get(self.at..) {
                Some([Token::Name(name), Token::Sign("="), ..]) => {
                    self.at += 2;
                    if name == "file" {
                        arguments.to_stderr = self.stream()?;
                    } else {
                        let value = self.expression()?;
                        arguments.named.insert(name.clone(), value);
                    }
                }
                _ => arguments.values.push(self.expression()?),
            }
            if self.sign(&[","]).is_none() {
                self.expect(")")?;
                break;
            }
        }
        Ok(arguments)
    }

    /// `sys.stdout` or `sys.stderr`; true if it is the latter.
    fn stream(&mut self) -> Result<bool, Exception> {
        if self.name()? != "sys" {
            return Err(Exception::syntax());
        }
        self.expect(".")?;
        match self.name()?.as_str() {
            "stderr" => Ok(true),
            "stdout" => Ok(false),
            _ => Err(Exception::syntax()),
        }
    }

    fn name(&mut self) -> Result<String, Exception> {
        match self.tokens.get(self.at) {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => Err(Exception::syntax()),
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Name(name)) if name == word);
        self.at += usize::from(is);
        is
    }

    fn sign(&mut self, signs: &[&str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) if signs.contains(sign) => {
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    fn expect(&mut self, sign: &str) -> Result<(), Exception> {
        self.sign(&[sign]).map(drop).ok_or_else(Exception::syntax)
    }
}

//! Statements: what code is made of.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Context,
    expression::Reader,
    operation::calculate,
    token::{self, Token},
    value::{Exception, Value},
};

/// Modules that can be imported, though little of them is there.
const MODULES: &[&str] = &["json", "math", "os", "random", "sys", "time"];

/// One statement, by its words and signs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement(Vec<Token>);

/// What a statement does besides setting variables.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    None,
    Print { text: String, to_stderr: bool },
    Sleep(Duration),
    Value(Value),
}

/// The statements of some code.
pub(super) fn parse(code: &str) -> Result<Vec<Statement>, Exception> {
    const BLOCKS: &[&str] = &["class", "def", "for", "if", "try", "while", "with"];
    let tokens = token::tokens(code)?;
    let statements = tokens.split(|token| *token == Token::End);
    let statements = statements.filter(|tokens| !tokens.is_empty());
    let known = |tokens: &[Token]| !matches!(tokens.first(), Some(Token::Name(name)) if BLOCKS.contains(&name.as_str()));
    statements
        .map(
            |tokens| {
                if known(tokens) {
                    Ok(Statement(tokens.to_vec()))
                } else {
                    Err(Exception::syntax())
                }
            },
        )
        .collect()
}

impl Statement {
    /// Does what it says in a context.
    pub(super) fn perform(
        self,
        context: &mut Context,
        environment: &BTreeMap<String, String>,
    ) -> Result<Effect, Exception> {
        let reader = |tokens| Reader::new(tokens, &context.variables, environment);
        let tokens = self.0.as_slice();
        match tokens {
            [Token::Name(word), rest @ ..] if word == "import" || word == "from" => {
                import(rest).map(|()| Effect::None)
            }
            [Token::Name(word)] if word == "pass" => Ok(Effect::None),
            [Token::Name(word), rest @ ..] if word == "raise" => Err(raised(rest, &reader)),
            [Token::Name(word), rest @ ..]
                if word == "print" && rest.first() == Some(&Token::Sign("(")) =>
            {
                let arguments = reader(rest).only_arguments()?;
                let named = |name: &str, default: &str| {
                    arguments.named.get(name).map_or_else(|| default.to_owned(), Value::text)
                };
                let texts: Vec<_> = arguments.values.iter().map(Value::text).collect();
                let text = texts.join(&named("sep", " ")) + &named("end", "\n");
                Ok(Effect::Print { text, to_stderr: arguments.to_stderr })
            }
            [Token::Name(module), Token::Sign("."), Token::Name(name), rest @ ..]
                if module == "time" && name == "sleep" =>
            {
                let arguments = reader(rest).only_arguments()?;
                let seconds = arguments.values.first().and_then(Value::float);
                let seconds = seconds.ok_or_else(|| Exception::types("sleep() needs a number"))?;
                let invalid = |_| Exception::new("ValueError", "sleep length must be non-negative");
                Ok(Effect::Sleep(Duration::try_from_secs_f64(seconds).map_err(invalid)?))
            }
            [Token::Name(name), Token::Sign("="), rest @ ..] => {
                let value = reader(rest).whole()?;
                context.assign(name.clone(), value).map(|()| Effect::None)
            }
            [Token::Name(name), Token::Sign(sign @ ("+=" | "-=" | "*=" | "/=")), rest @ ..] => {
                let right = reader(rest).whole()?;
                let left = reader(&tokens[..1]).whole()?;
                let value = calculate(&sign[..1], &left, &right)?;
                context.assign(name.clone(), value).map(|()| Effect::None)
            }
            [Token::Name(word), Token::Name(name)] if word == "del" => {
                match context.variables.remove(name) {
                    Some(_) => Ok(Effect::None),
                    None => {
                        Err(Exception::new("NameError", format!("name '{name}' is not defined")))
                    }
                }
            }
            tokens => reader(tokens).whole().map(Effect::Value),
        }
    }
}

fn import(rest: &[Token]) -> Result<(), Exception> {
    match rest.first() {
        Some(Token::Name(module)) if MODULES.contains(&module.as_str()) => Ok(()),
        Some(Token::Name(module)) => {
            let message = format!("No module named '{module}'");
            Err(Exception::new("ModuleNotFoundError", message))
        }
        _ => Err(Exception::syntax()),
    }
}

fn raised<'a>(rest: &'a [Token], reader: &impl Fn(&'a [Token]) -> Reader<'a>) -> Exception {
    match rest {
        [Token::Name(name)] => Exception::new(name.clone(), ""),
        [Token::Name(name), arguments @ ..] => match reader(arguments).only_arguments() {
            Ok(arguments) => {
                let texts: Vec<_> = arguments.values.iter().map(Value::text).collect();
                Exception::new(name.clone(), texts.join(", "))
            }
            Err(exception) => exception,
        },
        [] => Exception::new("RuntimeError", "No active exception to reraise"),
        _ => Exception::syntax(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(code: &str) -> Result<Vec<Effect>, Exception> {
        let mut context = Context::new(String::new(), String::new());
        let environment = BTreeMap::from([(String::from("A"), String::from("1"))]);
        let statements = parse(code)?;
        let effects = statements.into_iter().map(|s| s.perform(&mut context, &environment));
        effects.collect()
    }

    #[test]
    fn statements_give_what_python_gives() {
        for (code, shown) in [
            ("1+1", "2"),
            ("7 // -2", "-4"),
            ("7 % -2", "-1"),
            ("2 ** 10 / 4", "256.0"),
            ("-2 ** 2", "-4"),
            ("1 + 2 * (3 - 4)", "-1"),
            ("x = 40; x += 2; x", "42"),
            ("'a' + \"b\" * 3", "'abbb'"),
            ("f'{1 + 1} and {\"x\".upper()}'", "'2 and X'"),
            ("[1, 'a', None, True][-1]", "True"),
            ("sum(range(5)) == 10 and not False", "True"),
            ("import os\nos.environ['A'] + os.getenv('B', '?')", "'1?'"),
            ("0.1 + 0.2", "0.30000000000000004"),
            ("1e20", "1e+20"),
            ("\"it's\"", "\"it's\""),
        ] {
            match run(code).unwrap().pop() {
                Some(Effect::Value(value)) => assert_eq!(value.repr(), shown, "{code}"),
                other => panic!("{code}: {other:?}"),
            }
        }
    }

    #[test]
    fn mistakes_are_exceptions() {
        for (code, name) in [
            ("1/0", "ZeroDivisionError"),
            ("nope", "NameError"),
            ("'a' + 1", "TypeError"),
            ("raise ValueError('bad')", "ValueError"),
            ("import numpy", "ModuleNotFoundError"),
            ("1 +", "SyntaxError"),
            ("'open", "SyntaxError"),
            ("if True:\n  pass", "SyntaxError"),
            ("x = 1\n  x", "IndentationError"),
            ("'a' * 10 ** 9", "MemoryError"),
            ("10 ** 100", "OverflowError"),
            ("[1][2]", "IndexError"),
        ] {
            assert_eq!(run(code).unwrap_err().name, name, "{code}");
        }
        let deep = "(".repeat(10_000);
        assert_eq!(run(&deep).unwrap_err().name, "RecursionError");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            code in "(print|raise|f'|\\{|\\}|[a-z]|[0-9]|\\*\\*|[-+*/%=<>()\\[\\],.;:'\"\n ]|\\PC){0,40}",
        ) {
            let _ = run(&code);
        }
    }
}

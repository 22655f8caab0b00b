//! What operators, functions and methods give.

use super::value::{Exception, MAX_SIZE, Value};

type Valued = Result<Value, Exception>;

/// The functions that there are.
pub(super) const FUNCTIONS: &[&str] =
    &["abs", "bool", "float", "int", "len", "max", "min", "range", "repr", "str", "sum"];

pub(super) fn calculate(sign: &str, left: &Value, right: &Value) -> Valued {
    match (sign, left, right) {
        ("+", Value::Text(left), Value::Text(right)) => {
            return Ok(Value::Text(format!("{left}{right}")));
        }
        ("+", Value::List(left), Value::List(right)) => {
            return Ok(Value::List([left.as_slice(), right].concat()));
        }
        ("*", Value::Text(_) | Value::List(_), Value::Int(times)) => return repeat(left, *times),
        ("*", Value::Int(times), Value::Text(_) | Value::List(_)) => return repeat(right, *times),
        _ => {}
    }
    let (Some(a), Some(b)) = (left.number(), right.number()) else {
        let (left, right) = (left.kind(), right.kind());
        let message = format!("unsupported operand type(s) for {sign}: '{left}' and '{right}'");
        return Err(Exception::types(message));
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) if sign != "/" && !(sign == "**" && b < 0) => {
            integers(sign, a, b)
        }
        (a, b) => floats(sign, a.float().unwrap_or_default(), b.float().unwrap_or_default()),
    }
}

fn repeat(value: &Value, times: i128) -> Valued {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if value.size().saturating_mul(times) > MAX_SIZE {
        return Err(Exception::new("MemoryError", ""));
    }
    Ok(match value {
        Value::Text(text) => Value::Text(text.repeat(times)),
        Value::List(values) => {
            Value::List(std::iter::repeat_n(values.as_slice(), times).flatten().cloned().collect())
        }
        other => other.clone(),
    })
}

fn integers(sign: &str, a: i128, b: i128) -> Valued {
    let by_zero = || Exception::new("ZeroDivisionError", "integer division or modulo by zero");
    if b == 0 && matches!(sign, "//" | "%") {
        return Err(by_zero());
    }
    let exponent = u32::try_from(b).ok();
    let result = match sign {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "*" => a.checked_mul(b),
        // Python rounds down, and a remainder has the sign of the divisor.
        "//" => a
            .checked_div(b)
            .map(|quotient| quotient - i128::from(a.wrapping_rem(b) != 0 && (a < 0) != (b < 0))),
        "%" => a
            .checked_rem(b)
            .map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }),
        _ => exponent.and_then(|exponent| a.checked_pow(exponent)),
    };
    let overflow = || Exception::new("OverflowError", "the simulator's integers have 128 bits");
    result.map(Value::Int).ok_or_else(overflow)
}

fn floats(sign: &str, a: f64, b: f64) -> Valued {
    if b == 0.0 && matches!(sign, "/" | "//" | "%") {
        let message = if sign == "/" { "division by zero" } else { "float floor division by zero" };
        return Err(Exception::new("ZeroDivisionError", message));
    }
    Ok(Value::Float(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => a - b * (a / b).floor(),
        _ => a.powf(b),
    }))
}

pub(super) fn element(of: &Value, index: &Value) -> Valued {
    let Value::Int(index) = index else {
        let message = format!("indices must be integers, not {}", index.kind());
        return Err(Exception::types(message));
    };
    let out = || Exception::new("IndexError", format!("{} index out of range", of.kind()));
    let at = |length: usize| {
        let from_end = if *index < 0 { length as i128 } else { 0 };
        usize::try_from(index + from_end).map_err(|_| out())
    };
    match of {
        Value::List(values) => values.get(at(values.len())?).cloned().ok_or_else(out),
        Value::Text(text) => {
            let found = text.chars().nth(at(text.chars().count())?);
            found.map(|c| Value::Text(c.to_string())).ok_or_else(out)
        }
        other => Err(Exception::types(format!("'{}' object is not subscriptable", other.kind()))),
    }
}

pub(super) fn method(of: &Value, name: &str, arguments: &[Value]) -> Valued {
    match (of, name, arguments) {
        (Value::Text(text), "upper", []) => Ok(Value::Text(text.to_uppercase())),
        (Value::Text(text), "lower", []) => Ok(Value::Text(text.to_lowercase())),
        (Value::Text(text), "strip", []) => Ok(Value::Text(text.trim().to_owned())),
        (Value::Text(text), "split", []) => {
            let words = text.split_whitespace().map(|word| Value::Text(word.to_owned()));
            Ok(Value::List(words.collect()))
        }
        _ => {
            let message = format!("'{}' object has no attribute '{name}'", of.kind());
            Err(Exception::new("AttributeError", message))
        }
    }
}

pub(super) fn call(name: &str, arguments: &[Value]) -> Valued {
    let wrong = || Exception::types(format!("{name}() was called with wrong arguments"));
    let invalid = |value: &Value| {
        let message = format!("invalid literal for {name}(): {}", value.repr());
        Exception::new("ValueError", message)
    };
    match (name, arguments) {
        ("str", [value]) => Ok(Value::Text(value.text())),
        ("repr", [value]) => Ok(Value::Text(value.repr())),
        ("bool", [value]) => Ok(Value::Bool(value.is_true())),
        ("len", [Value::Text(text)]) => Ok(Value::Int(text.chars().count() as i128)),
        ("len", [Value::List(values)]) => Ok(Value::Int(values.len() as i128)),
        ("int", [Value::Text(text)]) => {
            text.trim().parse().map(Value::Int).map_err(|_| invalid(&arguments[0]))
        }
        ("int", [Value::Float(value)]) if value.is_finite() => Ok(Value::Int(*value as i128)),
        ("int", [value]) => value.number().ok_or_else(wrong),
        ("float", [Value::Text(text)]) => {
            text.trim().parse().map(Value::Float).map_err(|_| invalid(&arguments[0]))
        }
        ("float", [value]) => value.float().map(Value::Float).ok_or_else(wrong),
        ("abs", [Value::Float(value)]) => Ok(Value::Float(value.abs())),
        ("abs", [value]) => match value.number() {
            Some(Value::Int(value)) => Ok(Value::Int(value.saturating_abs())),
            _ => Err(wrong()),
        },
        ("sum", [Value::List(values)]) => {
            values.iter().try_fold(Value::Int(0), |sum, value| calculate("+", &sum, value))
        }
        ("max" | "min", [Value::List(values)]) => extreme(name, values).ok_or_else(wrong),
        ("max" | "min", values) => extreme(name, values).ok_or_else(wrong),
        ("range", [Value::Int(end)]) => range(0, *end),
        ("range", [Value::Int(start), Value::Int(end)]) => range(*start, *end),
        _ => Err(wrong()),
    }
}

fn extreme(name: &str, values: &[Value]) -> Option<Value> {
    let mut best: Option<&Value> = None;
    for value in values {
        let number = value.float()?;
        let better = best
            .and_then(Value::float)
            .is_none_or(|best| if name == "max" { number > best } else { number < best });
        if better {
            best = Some(value);
        }
    }
    best.cloned()
}

fn range(start: i128, end: i128) -> Valued {
    if end.saturating_sub(start) > MAX_SIZE as i128 / 16 {
        return Err(Exception::new("MemoryError", ""));
    }
    Ok(Value::List((start..end).map(Value::Int).collect()))
}

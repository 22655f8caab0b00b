//! What was asked for on the command line: options, each with a value.

/// The options that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    given: Vec<(String, String)>,
}

impl Arguments {
    /// Takes pairs of an option and its value. Nothing but the options in `known` is taken.
    ///
    /// # Errors
    ///
    /// What is wrong, for the user.
    pub fn parse(
        arguments: impl IntoIterator<Item = String>,
        known: &[&str],
    ) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut given = Vec::new();
        while let Some(option) = arguments.next() {
            if !known.contains(&option.as_str()) {
                return Err(format!("there is no option `{option}`"));
            }
            let value = arguments.next().ok_or_else(|| format!("`{option}` needs a value"))?;
            given.push((option, value));
        }
        Ok(Self { given })
    }

    /// The last value that was given for `option`.
    pub fn text(&self, option: &str) -> Option<&str> {
        let last = self.given.iter().rev().find(|(given, _)| given == option);
        last.map(|(_, value)| value.as_str())
    }

    /// The same, as a number above 0.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn number(&self, option: &str) -> Result<Option<u64>, String> {
        let parse = |value: &str| match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("`{option} {value}` is no number above 0")),
        };
        self.text(option).map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned), &["--only", "--rounds"])
    }

    #[test]
    fn the_last_word_counts() {
        let arguments = parse("--only a --rounds 7 --only b").unwrap();
        assert_eq!(arguments.text("--only"), Some("b"));
        assert_eq!(arguments.number("--rounds"), Ok(Some(7)));
        assert_eq!(parse("").unwrap().number("--rounds"), Ok(None));
    }

    #[test]
    fn what_is_not_known_is_rejected_by_name() {
        for (line, word) in [("--rouns 3", "--rouns"), ("--only", "--only"), ("3", "3")] {
            assert!(parse(line).is_err_and(|problem| problem.contains(word)), "{line}");
        }
        assert!(parse("--rounds 0").unwrap().number("--rounds").is_err());
    }
}

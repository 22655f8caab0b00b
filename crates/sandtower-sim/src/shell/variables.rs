//! Variables, exported ones among them.

use std::collections::BTreeMap;

/// What the variables of a shell may hold together, in bytes.
pub(super) const MAX_VARIABLES: usize = 1024 * 1024;

/// The variables of a shell.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, Variable>,
    size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    value: String,
    exported: bool,
}

impl Variables {
    pub(super) fn of(environment: BTreeMap<String, String>) -> Self {
        let mut variables = Self::default();
        for (name, value) in environment {
            variables.set(&name, value, true);
        }
        variables
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|variable| variable.value.as_str())
    }

    /// Sets a variable, if there is room for it, and gives what was there before.
    pub(super) fn set(&mut self, name: &str, value: String, export: bool) -> Option<Variable> {
        let before = self.unset(name);
        if self.size + name.len() + value.len() > MAX_VARIABLES {
            return before;
        }
        self.size += name.len() + value.len();
        let exported = export || before.as_ref().is_some_and(|before| before.exported);
        self.values.insert(name.to_owned(), Variable { value, exported });
        before
    }

    pub(super) fn unset(&mut self, name: &str) -> Option<Variable> {
        let gone = self.values.remove(name);
        self.size -= gone.as_ref().map_or(0, |gone| name.len() + gone.value.len());
        gone
    }

    pub(super) fn put_back(&mut self, name: &str, before: Option<Variable>) {
        self.unset(name);
        if let Some(Variable { value, exported }) = before {
            self.set(name, value, exported);
        }
    }

    pub(super) fn export(&mut self, name: &str) {
        if let Some(variable) = self.values.get_mut(name) {
            variable.exported = true;
        }
    }

    /// Forgets what a program does not find in its environment.
    pub(super) fn keep_exported(&mut self) {
        self.values.retain(|_, variable| variable.exported);
        self.size = self.exported().map(|(name, value)| name.len() + value.len()).sum();
    }

    /// What a program finds in its environment.
    pub(super) fn exported(&self) -> impl Iterator<Item = (&str, &str)> {
        let exported = self.values.iter().filter(|(_, variable)| variable.exported);
        exported.map(|(name, variable)| (name.as_str(), variable.value.as_str()))
    }
}

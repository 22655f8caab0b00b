//! The code contexts of a sandbox.

use super::*;
use crate::runner::Kernel;

/// Contexts of a sandbox at a time.
const MAX_CONTEXTS: usize = 32;
/// Where contexts begin that name no directory.
pub(crate) const HOME: &str = "/home/user";

/// The contexts of one sandbox. Two are there from the start, as with E2B.
#[derive(Default)]
pub(crate) struct Contexts {
    by_id: BTreeMap<String, Context>,
    /// The context of code that names a language, or none.
    defaults: BTreeMap<String, String>,
    created: u32,
}

/// Where code runs: what it sets is still there for what runs next.
#[derive(Debug, Serialize)]
pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) language: String,
    pub(crate) cwd: String,
    #[serde(skip)]
    pub(crate) executions: u32,
    /// `None` if the runner does not have the language.
    #[serde(skip)]
    pub(crate) kernel: Option<Arc<dyn Kernel>>,
}

/// There are too many contexts.
pub(crate) struct TooMany;

impl Contexts {
    /// Creates those that are there from the start, at their first use.
    pub(crate) fn fill(&mut self, runner: &dyn Runner) {
        if !self.defaults.is_empty() {
            return;
        }
        for language in ["python", "javascript"] {
            if let Ok(context) = self.create(runner, language, HOME.to_owned()) {
                let id = context.id.clone();
                self.defaults.insert(language.to_owned(), id);
            }
        }
    }

    pub(crate) fn create(
        &mut self,
        runner: &dyn Runner,
        language: &str,
        cwd: String,
    ) -> Result<&Context, TooMany> {
        if self.by_id.len() >= MAX_CONTEXTS {
            return Err(TooMany);
        }
        self.created += 1;
        // As long as the real ones, and the same in every run.
        let id = format!("00000000-0000-4000-8000-{:012x}", self.created);
        let kernel = runner.kernel(language);
        let language = language.to_owned();
        let context = Context { id: id.clone(), language, cwd, executions: 0, kernel };
        Ok(self.by_id.entry(id).or_insert(context))
    }

    /// The context with this id, or `default`.
    pub(crate) fn get(&mut self, id: &str) -> Option<&mut Context> {
        let id = if id == "default" { self.defaults.get("python")? } else { id };
        self.by_id.get_mut(id)
    }

    /// The context of code in this language.
    pub(crate) fn of_language(&mut self, language: &str) -> Option<&mut Context> {
        self.by_id.get_mut(self.defaults.get(language)?)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Context> {
        self.by_id.values()
    }

    pub(crate) fn remove(&mut self, id: &str) -> bool {
        self.by_id.remove(id).is_some()
    }

    /// Begins a context anew; false if there is none.
    pub(crate) fn restart(&mut self, runner: &dyn Runner, id: &str) -> bool {
        let Some(context) = self.by_id.get_mut(id) else { return false };
        context.executions = 0;
        context.kernel = runner.kernel(&context.language);
        true
    }
}

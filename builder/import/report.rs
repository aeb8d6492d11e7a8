//! Findings about the file that is being brought in, and the texts in it with their variables resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::variables;
use super::yaml::{Node, Value};
use crate::diag::{Finding, Findings, Severity};

/// Where findings go.
pub(super) struct Report<'a> {
    pub(super) file: &'a Path,
    pub(super) findings: Findings,
    /// What `.env` beside the file says.
    pub(super) variables: BTreeMap<String, String>,
    told: BTreeSet<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a Path, variables: BTreeMap<String, String>) -> Self {
        Self { file, findings: Findings::new(), variables, told: BTreeSet::new() }
    }

    pub(super) fn error(
        &mut self,
        span: &Range<usize>,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(Finding::error(code, message).help(help).at(self.file, span.clone()));
    }

    pub(super) fn warning(
        &mut self,
        span: &Range<usize>,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(Finding::warning(code, message).help(help).at(self.file, span.clone()));
    }

    pub(super) fn note(&mut self, span: &Range<usize>, code: &'static str, message: impl Into<String>) {
        self.findings.push(Finding::note(code, message).at(self.file, span.clone()));
    }

    /// Tells something once, however often it occurs.
    pub(super) fn once(&mut self, span: &Range<usize>, code: &'static str, message: impl Into<String>) {
        let message = message.into();
        if self.told.insert(message.clone()) {
            self.note(span, code, message);
        }
    }

    /// Something about a line that may hold a secret: the line is not shown.
    pub(super) fn about_secret(
        &mut self,
        severity: Severity,
        node: &Node,
        code: &'static str,
        message: String,
        help: &str,
    ) {
        let finding = Finding { severity, ..Finding::error(code, message) };
        self.findings.push(finding.help(help).at(self.file, node.span.clone()).hidden());
    }

    /// The text of `node` with its variables resolved; nothing, and a finding, if it is none or they have no value.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        let Value::Scalar { text, .. } = &node.value else {
            self.error(&node.span, "wrong-type", "a text belongs here", "write one value");
            return None;
        };
        match variables::resolve(text, &self.variables) {
            Ok(resolved) => {
                for name in resolved.defaults {
                    self.once(
                        &node.span,
                        "default-taken",
                        format!("the variable {name} is taken as its default"),
                    );
                }
                Some(resolved.text)
            }
            Err(message) => {
                let help = "write the value itself, or put it into the file .env beside this one";
                self.error(&node.span, "variable-without-value", message, help);
                None
            }
        }
    }

    /// Whether `node` says true; a finding if it is neither true nor false.
    pub(super) fn flag(&mut self, node: &Node) -> bool {
        match self.text(node).as_deref() {
            Some("true") => true,
            Some("false") | None => false,
            Some(_) => {
                self.error(&node.span, "wrong-type", "true or false belongs here", "write one of them");
                false
            }
        }
    }

    /// The items of a list; a single text counts as a list of one.
    pub(super) fn items<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Scalar { .. } if node.is_null() => &[],
            Value::Scalar { .. } => std::slice::from_ref(node),
            Value::Map(_) => {
                self.error(&node.span, "wrong-type", "a list belongs here", "write `- …` lines");
                &[]
            }
        }
    }

    /// The texts of a list.
    pub(super) fn texts(&mut self, node: &Node) -> Vec<String> {
        self.items(node).iter().filter_map(|item| self.text(item)).collect()
    }
}

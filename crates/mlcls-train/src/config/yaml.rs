//! The only place that knows which YAML library is used.

use serde::Serialize;
use serde_json::Value;

/// A syntax error and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Line, from 1; 0 when unknown.
    pub line: usize,
    /// Column, from 1; 0 when unknown.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads one YAML document; a key that appears twice is an error.
pub(crate) fn parse(text: &str) -> Result<Value, SyntaxError> {
    let fail = |e: serde_yaml::Error| {
        let (line, column) = e.location().map_or((0, 0), |l| (l.line(), l.column()));
        SyntaxError { line, column, message: e.to_string() }
    };
    let document: serde_yaml::Value = serde_yaml::from_str(text).map_err(fail)?;
    serde_json::to_value(document).map_err(|e| SyntaxError { line: 0, column: 0, message: e.to_string() })
}

/// Writes a value as one YAML document.
pub(crate) fn write(value: &impl Serialize) -> Result<String, SyntaxError> {
    serde_yaml::to_string(value).map_err(|e| SyntaxError { line: 0, column: 0, message: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_words_and_lists() {
        let text = "a: 1e-3\nb: no\nc: [1, x]\nd: null\ne: 5\n";
        assert_eq!(parse(text).unwrap(), json!({"a": 0.001, "b": "no", "c": [1, "x"], "d": null, "e": 5}));
    }

    #[test]
    fn errors_name_the_line() {
        let e = parse("a: 1\nb: [1,\nc: 2\n").unwrap_err();
        assert!(e.line >= 2, "{e:?}");
        assert!(parse("a: 1\na: 2\n").unwrap_err().message.contains("duplicate"));
    }

    #[test]
    fn hostile_documents_end() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse("{1: 2, {}: 3}").is_err());
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                    c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                    e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                    g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert!(parse(bomb).is_err());
    }
}

//! Every key of the configuration with its meaning.

use schemars::schema_for;
use serde_json::Value;

use super::configuration::Configuration;
use crate::error::Result;

/// `config` as TOML with the documentation of every section and key above it, without the keys that have no part in its networks;
/// what `nmt config` prints.
///
/// ```
/// let text = nmt::config::describe(&nmt::config::Config::default())?;
/// assert!(text.contains("# Width d of embeddings and layers.\nembed_dim = 512\n"));
/// # Ok::<(), nmt::Error>(())
/// ```
pub fn describe<C: Configuration>(config: &C) -> Result<String> {
    let schema = schema_for!(C).to_value();
    let mut described = String::new();
    let mut section = String::new();
    for line in config.to_toml()?.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_string();
            described.push_str(&comment(schema.pointer(&format!("/properties/{section}")), &schema));
        } else if let Some((key, _)) = line.split_once(" = ") {
            let name = format!("{section}.{key}");
            if C::FOREIGN.iter().any(|(foreign, _)| *foreign == name) {
                continue;
            }
            let keys = resolve(schema.pointer(&format!("/properties/{section}")), &schema);
            let property = keys.and_then(|keys| keys.pointer(&format!("/properties/{key}")));
            described.push_str(&comment(property, &schema));
        }
        described.push_str(line);
        described.push('\n');
    }
    Ok(described)
}

/// The node that a `$ref` points at, or the node itself.
fn resolve<'a>(node: Option<&'a Value>, schema: &'a Value) -> Option<&'a Value> {
    let node = node?;
    match node.get("$ref").and_then(Value::as_str) {
        Some(path) => schema.pointer(path.strip_prefix('#')?),
        None => Some(node),
    }
}

/// The description of a property as comment lines, and of an enumeration its choices.
fn comment(property: Option<&Value>, schema: &Value) -> String {
    let Some(property) = property else { return String::new() };
    let description = |node: &Value| node.get("description").and_then(Value::as_str).map(str::to_string);
    let mut text =
        description(property).or_else(|| resolve(Some(property), schema).and_then(description)).unwrap_or_default();
    if let Some(choices) = resolve(Some(property), schema).and_then(|node| node.get("oneOf")).and_then(Value::as_array)
    {
        for choice in choices {
            if let (Some(name), Some(meaning)) = (choice.get("const").and_then(Value::as_str), description(choice)) {
                text.push_str(&format!("\n  \"{name}\": {}", meaning.replace('\n', " ")));
            }
        }
    }
    // Brackets are escaped for rustdoc, where they would be links.
    text.replace("\\[", "[").replace("\\]", "]").lines().map(|line| format!("# {line}\n")).collect()
}

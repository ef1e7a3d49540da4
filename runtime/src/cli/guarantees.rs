//! What is guaranteed on each path, for people.

use crate::pipeline::{Claim, Guarantee};

/// Comments in TOML, so that what is printed can be read as a configuration.
pub(super) fn text(guarantees: &[Guarantee]) -> String {
    let mut text = String::from("\n# What holds on each path, and the settings that it rests on:\n");
    for guarantee in guarantees {
        let Guarantee { source, pipeline, sink, .. } = guarantee;
        text.push_str(&format!("#\n# {source} → {pipeline}:{sink}\n"));
        claim(&mut text, "loss", &guarantee.loss, |level| level.text());
        claim(&mut text, "duplicates", &guarantee.duplicates, |level| level.text());
        claim(&mut text, "order", &guarantee.order, |level| level.text());
        claim(&mut text, "durability", &guarantee.durability, |level| level.text());
        claim(&mut text, "dead letters", &guarantee.dead_letters, |level| level.text());
    }
    text
}

fn claim<L: Copy>(text: &mut String, what: &str, claim: &Claim<L>, name: impl Fn(L) -> &'static str) {
    text.push_str(&format!("#   {what:<13} {}\n", name(claim.level)));
    for reason in &claim.because {
        text.push_str(&format!("#       {} = {}: {}\n", reason.key, reason.value, reason.effect));
    }
}

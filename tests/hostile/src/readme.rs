//! The table as text.

use crate::{MUSTS, Row};

/// What README.md has to be.
#[must_use]
pub fn readme(rows: &[&Row]) -> String {
    let mut text = format!(
        "<!-- Generated: cargo run -p hostile-table -- --write -->\n\
        # The hostile table\n\n\
        {} ways in which a device can lie, and rules that bind the driver, each a test of virtio-core. Every row runs in every mode\n\
        that it applies to. After each row of a ring (R any, S split, P packed) every token has come back exactly once, and no byte\n\
        has changed outside of the memory that was lent; T are rows of the transport, F of features and set-up.\n\n\
        The verdicts: *closed*: the queue reports this error once and takes nothing more; *failed*: the call fails with this error;\n\
        *refused*: the driver does not let its caller break the rule; *ignored*: the lie changes nothing; *harmless*: nobody could\n\
        tell that it is a lie, and nothing is lost or overrun; *kept*: the driver keeps the rule.\n\n\
        | id | specification | what happens | verdict |\n|---|---|---|---|\n",
        rows.len()
    );
    for row in rows {
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            row.id, row.section, row.lie, row.verdict
        ));
    }
    text.push_str(
        "\n## What binds the driver\n\nEach section of Virtio 1.3 with a normative statement for a driver over PCI, and what shows that it is kept.\n\n\
        | section | rows | what else |\n|---|---|---|\n",
    );
    for must in MUSTS {
        text.push_str(&format!(
            "| §{} | {} | {} |\n",
            must.section,
            must.rows.join(", "),
            must.more
        ));
    }
    text
}

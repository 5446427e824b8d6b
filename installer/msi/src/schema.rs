//! The tables' columns, as Microsoft's page of each table gives them.

use msi::{Category, Column};

/// Keys of rows.
const KEY_LEN: usize = 72;

fn key(name: &str) -> Column {
    Column::build(name).primary_key().id_string(KEY_LEN)
}

/// A reference to another table's first column.
fn refers(name: &str, table: &str) -> Column {
    Column::build(name).foreign_key(table, 1).id_string(KEY_LEN)
}

fn text(name: &str, length: usize) -> Column {
    Column::build(name).nullable().text_string(length)
}

fn number(name: &str) -> Column {
    Column::build(name).int16()
}

/// The columns of a table that [`crate::rows`] fills.
pub fn columns(table: &str) -> Option<Vec<Column>> {
    let build = |name: &str| Column::build(name);
    Some(match table {
        "Property" => vec![key("Property"), build("Value").localizable().text_string(0)],
        "Directory" => vec![
            key("Directory"),
            build("Directory_Parent")
                .nullable()
                .foreign_key("Directory", 1)
                .id_string(KEY_LEN),
            build("DefaultDir")
                .localizable()
                .category(Category::DefaultDir)
                .string(255),
        ],
        "CreateFolder" => ["Directory", "Component"]
            .map(|table| {
                Column::build(format!("{table}_"))
                    .primary_key()
                    .foreign_key(table, 1)
                    .id_string(KEY_LEN)
            })
            .into(),
        "Component" => vec![
            key("Component"),
            build("ComponentId")
                .nullable()
                .category(Category::Guid)
                .string(38),
            refers("Directory_", "Directory"),
            number("Attributes"),
            build("Condition")
                .nullable()
                .category(Category::Condition)
                .string(255),
            build("KeyPath")
                .nullable()
                .foreign_key("File", 1)
                .id_string(KEY_LEN),
        ],
        "Feature" => vec![
            build("Feature").primary_key().id_string(38),
            build("Feature_Parent")
                .nullable()
                .foreign_key("Feature", 1)
                .id_string(38),
            build("Title").nullable().localizable().text_string(64),
            build("Description")
                .nullable()
                .localizable()
                .text_string(255),
            build("Display").nullable().int16(),
            number("Level"),
            build("Directory_")
                .nullable()
                .foreign_key("Directory", 1)
                .id_string(KEY_LEN),
            number("Attributes"),
        ],
        "FeatureComponents" => vec![
            build("Feature_")
                .primary_key()
                .foreign_key("Feature", 1)
                .id_string(38),
            build("Component_")
                .primary_key()
                .foreign_key("Component", 1)
                .id_string(KEY_LEN),
        ],
        "File" => vec![
            key("File"),
            refers("Component_", "Component"),
            build("FileName")
                .localizable()
                .category(Category::Filename)
                .string(255),
            build("FileSize").range(0, i32::MAX).int32(),
            build("Version")
                .nullable()
                .category(Category::Version)
                .string(KEY_LEN),
            build("Language")
                .nullable()
                .category(Category::Language)
                .string(20),
            build("Attributes").nullable().int16(),
            build("Sequence").range(1, i32::from(i16::MAX)).int16(),
        ],
        "MsiFileHash" => vec![
            build("File_")
                .primary_key()
                .foreign_key("File", 1)
                .id_string(KEY_LEN),
            number("Options"),
            build("HashPart1").int32(),
            build("HashPart2").int32(),
            build("HashPart3").int32(),
            build("HashPart4").int32(),
        ],
        "Media" => vec![
            build("DiskId").primary_key().int16(),
            build("LastSequence").range(0, i32::from(i16::MAX)).int16(),
            build("DiskPrompt").nullable().localizable().text_string(64),
            build("Cabinet")
                .nullable()
                .category(Category::Cabinet)
                .string(255),
            text("VolumeLabel", 32),
            text("Source", KEY_LEN),
        ],
        "Upgrade" => vec![
            build("UpgradeCode")
                .primary_key()
                .category(Category::Guid)
                .string(38),
            build("VersionMin").primary_key().nullable().text_string(20),
            build("VersionMax").primary_key().nullable().text_string(20),
            build("Language").primary_key().nullable().text_string(255),
            build("Attributes").primary_key().int32(),
            build("Remove").nullable().formatted_string(255),
            build("ActionProperty")
                .category(Category::UpperCase)
                .string(KEY_LEN),
        ],
        "LaunchCondition" => vec![
            build("Condition")
                .primary_key()
                .category(Category::Condition)
                .string(255),
            build("Description").localizable().formatted_string(255),
        ],
        "AppSearch" => vec![
            build("Property").primary_key().id_string(KEY_LEN),
            build("Signature_").primary_key().id_string(KEY_LEN),
        ],
        "RegLocator" => vec![
            key("Signature_"),
            build("Root").range(-1, 3).int16(),
            build("Key").category(Category::RegPath).string(255),
            build("Name").nullable().formatted_string(255),
            build("Type").nullable().range(0, 18).int16(),
        ],
        "Signature" => vec![
            key("Signature"),
            build("FileName").text_string(255),
            text("MinVersion", 20),
            text("MaxVersion", 20),
            build("MinSize").nullable().int32(),
            build("MaxSize").nullable().int32(),
            build("MinDate").nullable().int32(),
            build("MaxDate").nullable().int32(),
            text("Languages", 255),
        ],
        "Binary" => vec![key("Name"), build("Data").binary()],
        "Icon" => vec![key("Name"), build("Data").binary()],
        "CustomAction" => vec![
            key("Action"),
            build("Type").int16(),
            build("Source")
                .nullable()
                .category(Category::CustomSource)
                .string(KEY_LEN),
            build("Target").nullable().formatted_string(255),
            build("ExtendedType").nullable().int32(),
        ],
        "ActionText" => vec![
            key("Action"),
            build("Description")
                .nullable()
                .localizable()
                .text_string(64),
            build("Template")
                .nullable()
                .localizable()
                .category(Category::Template)
                .string(128),
        ],
        "InstallExecuteSequence"
        | "InstallUISequence"
        | "AdminExecuteSequence"
        | "AdminUISequence"
        | "AdvtExecuteSequence" => vec![
            key("Action"),
            build("Condition")
                .nullable()
                .category(Category::Condition)
                .string(255),
            build("Sequence").nullable().range(-4, 32767).int16(),
        ],
        _ => return None,
    })
}

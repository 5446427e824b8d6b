//! Checks docs/collect/Collect-WinPV.ps1 as far as that can be done without Windows: that it is PowerShell, reads only, names its
//! sources and agrees with its schema.
//!
//! The grammar is that of tree-sitter. Nothing here runs the script: whether its commands do what Microsoft's pages say, only Windows shows.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

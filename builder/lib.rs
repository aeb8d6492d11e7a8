//! Boxwright turns one short TOML profile into the bootable, immutable disk image of a home server.
//!
//! The modules stand here in the order in which the data flows; see ARCHITECTURE.md for the map and the reasons.
#![deny(missing_docs)]

pub mod artefacts;
pub mod atomic;
pub mod audit;
pub mod boot;
pub mod build;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod context;
pub mod debian;
pub mod diag;
pub mod diff;
pub mod digest;
pub mod disk;
pub mod fetch;
pub mod firmware;
pub mod flash;
pub mod graph;
pub mod images;
pub mod import;
pub mod inspect;
pub mod interrupt;
pub mod layers;
pub mod lock;
pub mod mirror;
pub mod online;
pub mod overlay;
pub mod plan;
pub mod profile;
pub mod provenance;
pub mod prune;
pub mod rooted;
pub mod rootfs;
pub mod sandbox;
pub mod secrets;
pub mod stage;
pub mod tool;
pub mod tools;
pub mod tree;
pub mod ui;
pub mod usage;
pub mod verify;
pub mod vm;

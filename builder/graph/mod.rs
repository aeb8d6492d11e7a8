//! The drawing of a box: how a request reaches a service, who sits behind the VPN, and the ways out.
//!
//! In: the checked profile and its plan. Out: an SVG drawing, and a page around it with who reaches whom. Both are whole by
//! themselves, without scripts, and follow the reader's choice of light or dark. The layout is computed here, in pixels; the
//! templates beside this file only write it down.

mod layout;

use anyhow::{Context as _, Result};

use crate::check::CheckedProfile;
use crate::plan::Plan;

use layout::Scene;

/// A drawing and the page around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// SVG 1.1.
    pub svg: String,
    /// HTML, with the drawing in it.
    pub page: String,
}

/// Draws the box of `profile`, whose services are planned in `plan`.
///
/// # Errors
/// None that depends on the profile: only a mistake in the templates.
pub fn draw(profile: &CheckedProfile, plan: &Plan) -> Result<Drawing> {
    let scene = Scene::of(profile, plan);
    let mut templates = tera::Tera::default();
    let context = || "drawing the box";
    // Tera escapes what it puts into templates with these endings.
    templates
        .add_raw_templates([
            ("drawing.xml", include_str!("drawing.svg.tera")),
            ("page.html", include_str!("page.html.tera")),
        ])
        .with_context(context)?;
    let mut values = tera::Context::from_serialize(&scene).with_context(context)?;
    let svg = templates.render("drawing.xml", &values).with_context(context)?;
    values.insert("drawing", &svg);
    values.insert("reach", &rows(plan));
    let page = templates.render("page.html", &values).with_context(context)?;
    Ok(Drawing { svg, page })
}

/// Each container with those that it reaches.
fn rows(plan: &Plan) -> Vec<(String, String)> {
    let reach = plan.reach();
    let row = |name: &String| {
        let others = reach.of(name);
        (name.clone(), if others.is_empty() { "no other container".to_owned() } else { others.join(", ") })
    };
    reach.containers.iter().map(|outward| row(&outward.container)).collect()
}

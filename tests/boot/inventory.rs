//! What an image's bill of materials names, held against what dpkg and Docker of the running box say is there.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::built;

/// What the box prints of itself. Docker's id of an image is the digest of its configuration.
pub const LIST: &str = r"
dpkg-query --show --showformat 'installed ${Package} ${Version} ${Architecture}\n'
for image in $(docker image ls --format '{{.Repository}}:{{.Tag}}'); do
	echo loaded $image $(docker image inspect --format '{{.Id}}' $image)
done
";

/// Holds what [`LIST`] printed on a box of `image` against the image's own bill.
pub fn assert_billed(image: &Path, printed: &[String]) {
    let bill = built::call("inspect").arg(image).args(["--sbom", "cyclonedx"]).output().unwrap();
    let bill: Value = serde_json::from_slice(&bill).unwrap();
    let said = |word: &str| -> BTreeSet<String> {
        printed.iter().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
    };
    assert_eq!(said("installed "), billed(&bill, "library", package), "dpkg's list and the bill's");
    // Docker leaves out of a name what it takes for granted.
    let loaded: BTreeSet<String> =
        said("loaded ").into_iter().filter(|line| !line.starts_with("<none>")).collect();
    assert_eq!(loaded, billed(&bill, "container", container), "Docker's images and the bill's");
}

/// The components of `bill` of that kind, each as a line.
fn billed(bill: &Value, kind: &str, line: impl Fn(&Value) -> String) -> BTreeSet<String> {
    let components = bill["components"].as_array().unwrap().iter();
    components.filter(|component| component["type"] == kind).map(line).collect()
}

/// A package as [`LIST`] prints it.
fn package(component: &Value) -> String {
    let text = |key: &str| component[key].as_str().unwrap();
    let (_, architecture) = text("purl").split_once("?arch=").unwrap();
    format!("{} {} {}", text("name"), text("version"), architecture.split('&').next().unwrap())
}

/// A container image as [`LIST`] prints it.
fn container(component: &Value) -> String {
    let reference = component["bom-ref"].as_str().unwrap();
    let short = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let properties = component["properties"].as_array().unwrap();
    let id = properties.iter().find(|property| property["name"] == "boxwright:image-id").unwrap();
    format!("{} {}", short.strip_prefix("library/").unwrap_or(short), id["value"].as_str().unwrap())
}

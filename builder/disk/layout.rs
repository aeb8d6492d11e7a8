//! Which partitions an image has, where they are, and who they are. Pure: sizes and GUIDs go in, a [`Layout`] comes out.
//!
//! Partitions are found by their role, never by their position.

use anyhow::{Result, bail};

use crate::digest::{self, Sha256};

/// One MiB, the alignment of everything.
pub const MIB: u64 = 1 << 20;

/// The size of the ESP: room for kernels and initrds of several releases.
pub const ESP_BYTES: u64 = 512 * MIB;

/// The size of the secrets partition.
pub const SECRETS_BYTES: u64 = 8 * MIB;

/// The size of the system partition where the disk has room for it.
pub const SYSTEM_BYTES: u64 = 8 << 30;

/// What system and state need together at the least.
pub const LEAST_BYTES: u64 = 1 << 30;

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The EFI system partition: boot programs, kernels, initrds, boot entries.
    Esp,
    /// The layer with the packages.
    Base,
    /// The layer with the rendered files.
    Profile,
    /// The layer with container images.
    Images,
    /// Where a bundle of secrets is handed to the box.
    Secrets,
    /// What the box itself writes.
    System,
    /// What belongs to services.
    State,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 7] =
        [Self::Esp, Self::Base, Self::Profile, Self::Images, Self::Secrets, Self::System, Self::State];

    /// The partition type's GUID, in text order. The ESP's is the one of the UEFI specification (5.3.3); the others are
    /// random numbers of our own, so that no other program takes the partitions for something that it mounts.
    /// Boxes in the field are found by them: never change one.
    pub const fn type_guid(self) -> [u8; 16] {
        let number: u128 = match self {
            Self::Esp => 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b,
            Self::Base => 0x2ad6e9c5_d163_4944_a3ec_43db8f62610a,
            Self::Profile => 0x9ca15247_3aac_48f6_a2fb_95aaae24accb,
            Self::Images => 0xd277b2b7_8e74_4eab_8fd4_6fe92d1c8167,
            Self::Secrets => 0x327fd071_9638_4577_97de_843280f57fa6,
            Self::System => 0x30bc81fb_42f0_4667_a455_40babb65c6a6,
            Self::State => 0xe162cae0_6be6_4cad_8e85_ec3b54ab3a6d,
        };
        number.to_be_bytes()
    }

    /// The role of a partition type, given in text order.
    pub fn of_type(guid: &[u8; 16]) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.type_guid() == *guid)
    }

    /// The role's name, which is also the partition's or its beginning.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Esp => "esp",
            Self::Base => "base",
            Self::Profile => "profile",
            Self::Images => "images",
            Self::Secrets => "secrets",
            Self::System => "system",
            Self::State => "state",
        }
    }

    /// The smallest slot for a layer of this role.
    const fn least_slot(self) -> u64 {
        match self {
            Self::Base => 1024 * MIB,
            Self::Images => 256 * MIB,
            _ => 64 * MIB,
        }
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub role: Role,
    /// Its name in the table: `base_7`.
    pub name: String,
    /// Its GUID, in text order.
    pub guid: [u8; 16],
    /// Where it begins, in bytes.
    pub start: u64,
    /// Its size in bytes.
    pub length: u64,
}

/// The partitions of an image or a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The disk's GUID, in text order.
    pub disk_guid: [u8; 16],
    /// The partitions in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// The size of the whole in bytes.
    pub total_bytes: u64,
}

/// A layer, as far as the layout is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSize {
    /// [`Role::Base`], [`Role::Profile`] or [`Role::Images`].
    pub role: Role,
    /// Its size in bytes.
    pub bytes: u64,
    /// The GUID of its partition, in text order.
    pub guid: [u8; 16],
}

impl Layout {
    /// Lays out the image of a release with these layers. `seed` identifies the release, `version` orders it.
    ///
    /// # Errors
    /// If two partitions would have the same GUID, as two equal layers have.
    pub fn plan(seed: &Sha256, version: u64, layers: &[LayerSize]) -> Result<Self> {
        let mut layout =
            Self { disk_guid: digest::guid(seed, "disk"), partitions: Vec::new(), total_bytes: MIB };
        layout.add(Role::Esp, "esp".into(), digest::guid(seed, "esp"), ESP_BYTES);
        for layer in layers {
            let name = format!("{}_{version}", layer.role.word());
            layout.add(layer.role, name, layer.guid, slot_bytes(layer.role, layer.bytes));
        }
        layout.add(Role::Secrets, "secrets".into(), digest::guid(seed, "secrets"), SECRETS_BYTES);
        // The second copy of the table.
        layout.total_bytes += MIB;
        for (index, partition) in layout.partitions.iter().enumerate() {
            if layout.partitions[..index].iter().any(|other| other.guid == partition.guid) {
                bail!("two partitions would have the GUID {}", digest::guid_text(&partition.guid));
            }
        }
        Ok(layout)
    }

    fn add(&mut self, role: Role, name: String, guid: [u8; 16], length: u64) {
        self.partitions.push(Partition { role, name, guid, start: self.total_bytes, length });
        self.total_bytes += length;
    }

    /// The first partition with this role.
    pub fn find(&self, role: Role) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.role == role)
    }
}

/// The size of the slot for a layer of `bytes`: at least a quarter more than needed, in steps so coarse that the next
/// releases fit into the same slot.
pub fn slot_bytes(role: Role, bytes: u64) -> u64 {
    let wanted = bytes.saturating_add(bytes / 4);
    let mut slot = role.least_slot();
    while slot < wanted {
        slot = slot.saturating_mul(2);
    }
    slot
}

/// What the initrd has to know of all this, as shell variables; sizes are in sectors of 512 bytes.
pub fn shell_variables() -> String {
    let mut text = String::from(
        "# shellcheck shell=sh disable=SC2034\n# Written by the build from builder/disk/layout.rs.\n",
    );
    for role in Role::ALL {
        let name = role.word().to_ascii_uppercase();
        text.push_str(&format!("TYPE_{name}={}\n", digest::guid_text(&role.type_guid())));
    }
    text.push_str(&format!("SYSTEM_SECTORS={}\nLEAST_SECTORS={}\n", SYSTEM_BYTES / 512, LEAST_BYTES / 512));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layer(role: Role, bytes: u64) -> LayerSize {
        LayerSize { role, bytes, guid: digest::guid(&Sha256::of_bytes(role.word().as_bytes()), "layer") }
    }

    #[test]
    fn an_image_has_its_partitions_in_this_order_and_size() {
        let seed = Sha256::of_bytes(b"release");
        let layers =
            [layer(Role::Base, 340 * MIB), layer(Role::Profile, 40_960), layer(Role::Images, 3 << 30)];
        let layout = Layout::plan(&seed, 7, &layers).unwrap();
        let shown: Vec<_> = layout
            .partitions
            .iter()
            .map(|part| (part.name.as_str(), part.start / MIB, part.length / MIB))
            .collect();
        assert_eq!(
            shown,
            [
                ("esp", 1, 512),
                ("base_7", 513, 1024),
                ("profile_7", 1537, 64),
                ("images_7", 1601, 4096),
                ("secrets", 5697, 8)
            ]
        );
        assert_eq!(layout.total_bytes, 5706 * MIB);
        assert_eq!(layout.find(Role::Base).unwrap().guid, layers[0].guid);
    }

    #[test]
    fn equal_layers_are_refused() {
        let seed = Sha256::of_bytes(b"release");
        let base = layer(Role::Base, 1);
        assert!(Layout::plan(&seed, 1, &[base, LayerSize { role: Role::Profile, ..base }]).is_err());
    }

    #[test]
    fn a_type_leads_back_to_its_role() {
        for role in Role::ALL {
            assert_eq!(Role::of_type(&role.type_guid()), Some(role));
        }
        assert_eq!(Role::of_type(&[0; 16]), None);
        assert!(shell_variables().contains("TYPE_ESP=c12a7328-f81f-11d2-ba4b-00a0c93ec93b\n"));
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_ordered_and_hold_their_layers(
            base in 1_u64..1 << 34, profile in 1_u64..1 << 34, images in proptest::option::of(1_u64..1 << 36)
        ) {
            let mut layers = vec![layer(Role::Base, base), layer(Role::Profile, profile)];
            layers.extend(images.map(|bytes| layer(Role::Images, bytes)));
            let layout = Layout::plan(&Sha256::of_bytes(b"x"), 1, &layers).unwrap();
            let mut end = MIB;
            for partition in &layout.partitions {
                prop_assert_eq!(partition.start % MIB, 0);
                prop_assert_eq!(partition.length % MIB, 0);
                prop_assert!(partition.start >= end);
                end = partition.start + partition.length;
            }
            prop_assert!(layout.total_bytes >= end + MIB);
            for layer in &layers {
                prop_assert!(layout.find(layer.role).unwrap().length >= layer.bytes + layer.bytes / 4);
            }
        }
    }
}

//! Every attempt in every confinement: behind all walls, and with one of them removed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::attempts::{self, Attempt};
use crate::jail::{Jail, Wall};
use crate::scene::Scene;
use crate::trial::{Outcome, outcome};

/// The findings in one place.
#[derive(Serialize)]
pub(crate) struct Findings {
    place: &'static str,
    attempts: Vec<&'static str>,
    jails: BTreeMap<&'static str, InJail>,
}

/// The findings in one confinement.
#[derive(Serialize)]
struct InJail {
    /// How many system calls its table allows.
    syscalls_allowed: usize,
    /// The attempts that came through.
    allowed: Vec<&'static str>,
    /// How the others were refused.
    refused: BTreeMap<&'static str, String>,
    /// For each wall, the attempts that come through if it is removed, and not otherwise. This and
    /// the next field are empty if no wall is removed in this place.
    without: BTreeMap<&'static str, Vec<&'static str>>,
    /// The attempts that come through with all walls removed: those that can be tried here at all.
    unconfined: Vec<&'static str>,
}

/// Tries everything.
pub(crate) fn run(scene: Scene) -> Findings {
    let jails = Jail::ALL.into_iter();
    Findings {
        place: scene.name,
        attempts: attempts::all().map(|attempt| attempt.name).collect(),
        jails: jails
            .map(|jail| (jail.name(), in_jail(&scene, jail)))
            .collect(),
    }
}

fn in_jail(scene: &Scene, jail: Jail) -> InJail {
    let outcomes = try_all(scene, jail, &[]);
    let mut allowed = Vec::new();
    let mut refused = BTreeMap::new();
    for (attempt, outcome) in outcomes {
        match outcome {
            Outcome::CameThrough => allowed.push(attempt.name),
            Outcome::Refused(errno) => {
                refused.insert(attempt.name, format!("{errno:?}"));
            }
        }
    }
    let comes_back = |left_out: &[Wall]| -> Vec<_> {
        let came = try_all(scene, jail, left_out).into_iter();
        let came = came.filter(|(_, outcome)| *outcome == Outcome::CameThrough);
        let came = came.map(|(attempt, _)| attempt.name);
        came.filter(|name| !allowed.contains(name)).collect()
    };
    let walls = match scene.removes_walls_of(jail) {
        true => scene.walls.as_slice(),
        false => &[],
    };
    let unconfined = match walls {
        [] => Vec::new(),
        walls => comes_back(walls),
    };
    InJail {
        syscalls_allowed: jail
            .calls()
            .iter()
            .map(|row| row.call)
            .collect::<BTreeSet<_>>()
            .len(),
        without: walls
            .iter()
            .map(|wall| (wall.name(), comes_back(&[*wall])))
            .collect(),
        unconfined,
        allowed,
        refused,
    }
}

fn try_all(scene: &Scene, jail: Jail, left_out: &[Wall]) -> Vec<(&'static Attempt, Outcome)> {
    scene.put_up(left_out);
    attempts::all()
        .map(|attempt| (attempt, outcome(scene, jail, left_out, attempt)))
        .collect()
}

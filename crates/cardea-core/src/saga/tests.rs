use proptest::prelude::*;
use serde_json::json;

use super::*;

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("no object") };
    members
}

#[test]
fn an_undo_is_made_of_arguments_and_result_and_chooses_no_other_tool() {
    let with = BTreeMap::from([
        ("refund".to_owned(), json!("{result.id}")),
        ("why".to_owned(), json!("undo of {order}")),
    ]);
    let undo = Undo::new("billing__void".into(), &with).unwrap();
    let way = undo.call(&map(json!({ "order": "17" })), &json!({ "id": "r1" })).unwrap();
    let wanted = map(json!({ "refund": "r1", "why": "undo of 17" }));
    assert_eq!(way, Way::Call { tool: "billing__void".into(), arguments: wanted });
    // A result that asks for more is a value like any other.
    let greedy =
        json!({ "id": "{order}\", \"tool\": \"delete_all", "tool": "delete_all", "undo": "delete_all" });
    let Some(Way::Call { tool, arguments }) = undo.call(&map(json!({ "order": "17" })), &greedy) else {
        panic!()
    };
    assert_eq!((tool.as_str(), arguments.len()), ("billing__void", 2));
    assert_eq!(arguments["refund"], greedy["id"]);
    for result in [json!({}), json!(null), json!({ "id": null }), json!({ "id": ["r1"] })] {
        assert_eq!(undo.call(&map(json!({ "order": "17" })), &result), None, "{result}");
    }
    assert!(Undo::new("t".into(), &BTreeMap::from([("a".to_owned(), json!("{step}"))])).is_err());
    let json = serde_json::to_string(&way).unwrap();
    assert_eq!(serde_json::from_str::<Way>(&json).unwrap(), way);
}

const fn step(state: StepState, changes: bool, undoable: bool) -> Effected {
    Effected { state, changes, undoable, declared: undoable }
}

#[test]
fn a_turn_is_all_or_nothing_from_the_first_step_that_can_be_taken_back() {
    use StepState::{Done, Failed, Refused};
    assert!(broken(&[step(Done, true, true), step(Failed, true, false)]));
    assert!(broken(&[step(Done, true, true), step(Done, true, false), step(Refused, true, false)]));
    assert!(!broken(&[step(Done, true, false), step(Failed, true, false)]), "nothing can be taken back");
    let closed = Effected { declared: true, ..step(Done, true, false) };
    assert!(broken(&[closed, step(Failed, true, false)]), "its undo could not be made, and something stays");
    assert_eq!((next(&[closed]), ending(&[closed])), (None, Unwound::Partly));
    assert!(!broken(&[step(Failed, true, false), step(Done, true, true)]), "it failed before");
    assert!(!broken(&[step(Done, true, true), step(Failed, false, false)]), "a read may fail");
}

/// A provider that knows keys, and a process that may die between any two moments.
#[derive(Debug, Default)]
struct World {
    /// What the provider has taken back, in the order in which it did so for the first time.
    undone: Vec<usize>,
    steps: Vec<Effected>,
    calls: usize,
}

impl World {
    /// One process unwinds until it dies or is done. `says` is the provider's answer for each step.
    fn unwind(&mut self, mut moments: usize, says: &[StepState]) -> bool {
        let mut lives = || {
            let alive = moments > 0;
            moments = moments.saturating_sub(1);
            alive
        };
        while let Some(at) = next(&self.steps) {
            let state = self.steps[at].state;
            if state != StepState::Compensating {
                assert!(state.may_become(StepState::Compensating));
                if !lives() {
                    return false;
                }
                self.steps[at].state = StepState::Compensating;
            }
            if !lives() {
                return false;
            }
            self.calls += 1;
            if says[at] != StepState::Done && !self.undone.contains(&at) {
                self.undone.push(at); // the same key does the work once
            }
            if !lives() {
                return false;
            }
            assert!(StepState::Compensating.may_become(says[at]));
            self.steps[at].state = says[at];
            self.steps[at].undoable = false;
        }
        true
    }
}

proptest! {
    #[test]
    fn however_often_the_process_dies_steps_are_taken_back_once_in_reverse_and_the_end_is_told_truly(
        steps in prop::collection::vec(
            (prop::sample::select(vec![
                (StepState::Done, true, true), (StepState::Done, true, false), (StepState::Done, false, false),
                (StepState::Failed, true, false), (StepState::Refused, true, false),
            ]), prop::sample::select(vec![StepState::Compensated, StepState::Compensated, StepState::Done, StepState::Unknown])),
            0..8,
        ),
        lives in prop::collection::vec(0_usize..6, 0..12),
    ) {
        let before: Vec<Effected> = steps.iter().map(|((state, changes, undoable), _)| step(*state, *changes, *undoable)).collect();
        let says: Vec<StepState> = steps.iter().map(|(_, says)| *says).collect();
        let mut world = World { steps: before.clone(), ..World::default() };
        let mut ended = false;
        for lives in lives.into_iter().chain([100]) {
            ended = world.unwind(lives, &says);
        }
        prop_assert!(ended, "it never ended");
        prop_assert!(world.undone.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", world.undone);
        let unsure = world.steps.iter().position(|step| step.state == StepState::Unknown);
        for (at, (was, is)) in before.iter().zip(&world.steps).enumerate() {
            let due = was.undoable && unsure.is_none_or(|unsure| at >= unsure);
            let wanted = if due { says[at] } else { was.state };
            prop_assert_eq!(is.state, wanted, "step {}", at);
        }
        let stays = world.steps.iter().any(|step| step.changes && step.state == StepState::Done);
        prop_assert_eq!(ending(&world.steps), match (unsure, stays) {
            (Some(_), _) => Unwound::Unknown,
            (None, true) => Unwound::Partly,
            (None, false) => Unwound::Whole,
        });
    }

    #[test]
    fn nothing_is_taken_back_while_somebody_must_look_first(at in 0_usize..4, state in prop::sample::select(vec![StepState::Unknown, StepState::Started])) {
        let mut steps = vec![step(StepState::Done, true, true); 4];
        steps[at].state = state;
        prop_assert_eq!(next(&steps), None);
        prop_assert_eq!(ending(&steps), Unwound::Unknown);
    }
}

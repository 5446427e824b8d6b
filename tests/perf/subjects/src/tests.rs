use std::collections::BTreeSet;

use super::{Case, Implementation};

#[test]
fn every_case_has_a_name_of_its_own_and_is_found_by_it() {
    let cases = Case::all();
    let names: BTreeSet<String> = cases.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), cases.len());
    for case in &cases {
        assert_eq!(case.to_string().parse(), Ok(*case));
    }
    assert!("virtio-core split".parse::<Case>().is_err());
    let ours = cases
        .iter()
        .filter(|case| case.implementation == Implementation::VirtioCore);
    assert_eq!(ours.count(), 16 * 3);
}

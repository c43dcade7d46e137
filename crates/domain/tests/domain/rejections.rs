//! Names of rejections in the contract.

use meridian_domain::Rejection;

#[test]
fn type_names_are_derived_from_the_variants() {
    assert_eq!(Rejection::NoFreePort.type_name(), "NO_FREE_PORT");
    assert_eq!(Rejection::AndMore { count: 1 }.type_name(), "AND_MORE");
    assert!(Rejection::TYPE_NAMES.contains(&"REGION_EXISTS"));
}

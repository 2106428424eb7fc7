//! Numbers are read exactly or refused, and products are rounded once.

use super::{Fixed, Money, Quantity};

fn fixed(text: &str) -> Fixed {
    Fixed::parse(text).expect("a number")
}

#[test]
fn numbers_are_read_exactly_or_refused() {
    for (text, nano) in [("0.106", 106_000_000), ("25", 25_000_000_000), ("0.000000001", 1), ("0", 0)] {
        assert_eq!(fixed(text).nano(), nano, "{text}");
        assert_eq!(fixed(text).to_string(), text);
    }
    assert_eq!(fixed("1000000").to_string(), "1000000");
    for (text, why) in [
        ("-1", "negative"),
        ("", "not a decimal"),
        (".5", "not a decimal"),
        ("5.", "not a decimal"),
        ("1e3", "not a decimal"),
        ("NaN", "not a decimal"),
        ("inf", "not a decimal"),
        ("0.0000000001", "nine decimal places"),
        ("1000000.000000001", "more than a million"),
        ("99999999999999999999", "too large"),
    ] {
        let error = Fixed::parse(text).expect_err(text);
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn binary_numbers_of_toml_are_what_was_written() {
    #[derive(serde::Deserialize)]
    struct Sheet {
        prices: Vec<Fixed>,
    }
    let sheet: Sheet = toml::from_str("prices = [0.1, 0.000171233, 0.106, \"0.3\", 7]").expect("numbers");
    let read: Vec<String> = sheet.prices.iter().map(ToString::to_string).collect();
    assert_eq!(read, ["0.1", "0.000171233", "0.106", "0.3", "7"]);
}

#[test]
fn a_product_is_rounded_once_half_up() {
    // A third of a unit at 0.10: 33,333.33… millionths.
    assert_eq!(Quantity { counted: 1, unit: 3 }.at(fixed("0.1")).micro(), 33_333);
    assert_eq!(Quantity { counted: 2, unit: 3 }.at(fixed("0.1")).micro(), 66_667);
    // Exactly half a millionth is rounded up, a hair less is not.
    assert_eq!(Quantity { counted: 1, unit: 2 }.at(fixed("0.000001")).micro(), 1);
    assert_eq!(Quantity { counted: 499_999, unit: 1_000_000 }.at(fixed("0.000001")).micro(), 0);
    // What is rounded is the product: the whole part's billionths are carried into the rest.
    assert_eq!(Quantity { counted: 3, unit: 2 }.at(fixed("0.000000333")).micro(), 0);
    assert_eq!(Quantity { counted: 7, unit: 2 }.at(fixed("0.000000333")).micro(), 1);
}

#[test]
fn absurd_quantities_saturate_and_do_not_panic() {
    let most = Quantity { counted: u128::MAX, unit: 1 }.at(fixed("1000000"));
    assert_eq!(most, Money::from_micro(i64::MAX));
    assert_eq!(most + most, most);
    assert_eq!(Quantity { counted: u128::MAX, unit: u128::MAX }.at(Fixed::ZERO), Money::ZERO);
}

#[test]
fn people_see_cents() {
    for (micro, shown) in [
        (0, "0.00"),
        (4_999, "0.00"),
        (5_000, "0.01"),
        (7_738_000, "7.74"),
        (-10_000_000, "-10.00"),
        (-1, "0.00"),
    ] {
        assert_eq!(Money::from_micro(micro).to_string(), shown);
    }
}

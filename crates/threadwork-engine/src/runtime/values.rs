//! Results of tasks as numbers of Rust's.

use wasmtime::Val;

/// What [`TaskHandle::wait_as`](super::TaskHandle::wait_as) can make of results: `()`, a
/// number, or a tuple of two to four numbers (`i32`, `u32`, `i64`, `u64`, `f32`, `f64`).
pub trait Results: sealed::Results {}

mod sealed {
    use wasmtime::Val;

    pub trait Results: Sized {
        fn from_values(values: &[Val]) -> Option<Self>;
    }
}

/// One number of a result.
trait FromValue: Sized {
    fn from_value(value: &Val) -> Option<Self>;
}

macro_rules! number {
    ($($number:ty: $value:ident => $made:expr;)*) => {$(
        impl FromValue for $number {
            fn from_value(value: &Val) -> Option<Self> {
                value.$value().map($made)
            }
        }

        impl Results for $number {}

        impl sealed::Results for $number {
            fn from_values(values: &[Val]) -> Option<Self> {
                match values {
                    [value] => Self::from_value(value),
                    _ => None,
                }
            }
        }
    )*};
}

number! {
    i32: i32 => |number| number;
    u32: i32 => i32::cast_unsigned;
    i64: i64 => |number| number;
    u64: i64 => i64::cast_unsigned;
    f32: f32 => |number| number;
    f64: f64 => |number| number;
}

impl Results for () {}

impl sealed::Results for () {
    fn from_values(values: &[Val]) -> Option<Self> {
        values.is_empty().then_some(())
    }
}

macro_rules! tuple {
    ($($number:ident $value:ident),*) => {
        impl<$($number: FromValue),*> Results for ($($number,)*) {}

        impl<$($number: FromValue),*> sealed::Results for ($($number,)*) {
            fn from_values(values: &[Val]) -> Option<Self> {
                match values {
                    [$($value),*] => Some(($($number::from_value($value)?,)*)),
                    _ => None,
                }
            }
        }
    };
}

tuple!(A a, B b);
tuple!(A a, B b, C c);
tuple!(A a, B b, C c, D d);

#[cfg(test)]
mod tests {
    use super::sealed::Results;
    use wasmtime::Val;

    #[test]
    fn bits_are_kept_and_other_types_refused() {
        assert_eq!(u32::from_values(&[Val::I32(-1)]), Some(u32::MAX));
        assert_eq!(i64::from_values(&[Val::I64(-1)]), Some(-1));
        assert_eq!(i64::from_values(&[Val::I32(1)]), None);
        assert_eq!(i32::from_values(&[]), None);
        assert_eq!(i32::from_values(&[Val::I32(1), Val::I32(2)]), None);
        assert_eq!(<()>::from_values(&[]), Some(()));
        let mixed = [Val::I32(1), Val::from(2.5_f64)];
        assert_eq!(<(i32, f64)>::from_values(&mixed), Some((1, 2.5)));
    }
}

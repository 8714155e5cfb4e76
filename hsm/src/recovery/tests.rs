use cryptoki::context::Function;

use super::*;

fn module(code: RvError) -> HsmError {
    HsmError::Module(ModuleError::Pkcs11(code, Function::Sign))
}

#[test]
fn session_state_decides_where_modules_disagree() {
    // Measured after `C_Logout`: SoftHSM, Kryoptic and NSS, in this order.
    for code in [RvError::ObjectHandleInvalid, RvError::GeneralError, RvError::HostMemory] {
        assert_eq!(rung(&module(code), || SessionHealth::LoggedOut), Rung::FindAgain, "{code:?}");
        assert_eq!(rung(&module(code), || SessionHealth::Gone), Rung::ReplaceSession, "{code:?}");
        assert_eq!(rung(&module(code), || SessionHealth::DeviceFailed), Rung::Reinitialize, "{code:?}");
    }
    assert_eq!(rung(&module(RvError::ObjectHandleInvalid), || SessionHealth::LoggedIn), Rung::FindAgain);
    assert_eq!(rung(&module(RvError::GeneralError), || SessionHealth::LoggedIn), Rung::Reinitialize);
}

#[test]
fn caller_and_pin_errors_never_climb_and_never_ask_for_the_session() {
    for code in
        [RvError::MechanismInvalid, RvError::DataLenRange, RvError::PinIncorrect, RvError::ActionProhibited]
    {
        assert_eq!(rung(&module(code), || unreachable!("health is not asked for")), Rung::Answer, "{code:?}");
    }
    let mismatch = HsmError::KeyMismatch { cka_id: [0; 16], mismatch: crate::error::Mismatch::Label };
    assert_eq!(rung(&mismatch, || unreachable!("health is not asked for")), Rung::Answer);
}

#[test]
fn an_operation_left_open_costs_the_session() {
    assert_eq!(rung(&module(RvError::OperationActive), || SessionHealth::LoggedIn), Rung::ReplaceSession);
}

#[test]
fn return_codes_are_spelled_as_in_the_standard() {
    let text = module(RvError::DeviceError).to_string();
    assert_eq!(text, "the module failed: C_Sign returned CKR_DEVICE_ERROR");
}

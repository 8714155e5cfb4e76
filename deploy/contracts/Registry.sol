// What gateways put on record: which OpenPGP key an account uses, and which encrypted payload a request has.
// Everything is kept under the address that sent it, so nobody can write or overwrite another gateway's records.
pragma solidity 0.8.37;

contract Registry {
    event Registered(address indexed gateway, address indexed account, bytes20 fingerprint);
    event Submitted(
        address indexed gateway,
        bytes32 indexed requestHash,
        bytes32 cidDigest,
        uint32 verificationService
    );

    error FingerprintMissing();
    error CidDigestMissing();
    error AlreadySubmitted(bytes32 requestHash);

    /// The key an account registered last; version 4 fingerprints have 20 bytes.
    mapping(address gateway => mapping(address account => bytes20)) public fingerprintOf;
    /// The SHA-256 multihash digest of the payload's IPFS root.
    mapping(address gateway => mapping(bytes32 requestHash => bytes32)) public cidDigestOf;

    function register(address account, bytes20 fingerprint) external {
        if (fingerprint == 0) revert FingerprintMissing();
        fingerprintOf[msg.sender][account] = fingerprint;
        emit Registered(msg.sender, account, fingerprint);
    }

    function submit(bytes32 requestHash, bytes32 cidDigest, uint32 verificationService) external {
        if (cidDigest == 0) revert CidDigestMissing();
        if (cidDigestOf[msg.sender][requestHash] != 0) revert AlreadySubmitted(requestHash);
        cidDigestOf[msg.sender][requestHash] = cidDigest;
        emit Submitted(msg.sender, requestHash, cidDigest, verificationService);
    }
}

-- How an API key signs: 0 HMAC with a secret, 1 Ed25519, 2 RSA. What is sealed beside the key is
-- its secret, or its public key as PEM.
ALTER TABLE api_keys ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;

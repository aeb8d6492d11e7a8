package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

// An authority makes the certificates of the edge and of the Access team.
type authority struct {
	parent *x509.Certificate
	key    *ecdsa.PrivateKey
	pem    []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template()
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	parent, err := x509.ParseCertificate(der)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &authority{parent, key, block}, err
}

func template() *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
}

func (authority *authority) certificate(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := template()
	template.SerialNumber, template.DNSNames = big.NewInt(2), []string{name}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.parent, key.Public(), authority.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// A signer is Access of one team: it signs tokens and publishes the key that they are checked with.
type signer struct {
	team     string
	own      *rsa.PrivateKey
	stranger *rsa.PrivateKey
}

func newSigner(team string) (*signer, error) {
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	return &signer{team, own, stranger}, err
}

func (signer *signer) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.URL.Path != "/cdn-cgi/access/certs" {
		writer.WriteHeader(http.StatusNotFound)
		return
	}
	key := map[string]string{
		"kid": "1", "kty": "RSA", "alg": "RS256", "use": "sig",
		"n": encoded(signer.own.N.Bytes()), "e": encoded(big.NewInt(int64(signer.own.E)).Bytes()),
	}
	json.NewEncoder(writer).Encode(map[string]any{"keys": []any{key}})
}

func encoded(bytes []byte) string {
	return base64.RawURLEncoding.EncodeToString(bytes)
}

// Token makes a token for these applications; all kinds but "valid" have one fault each.
func (signer *signer) token(kind string, audience []string) (string, error) {
	header := map[string]string{"alg": "RS256", "kid": "1", "typ": "JWT"}
	claims := map[string]any{
		"iss": "https://" + signer.team, "aud": audience, "sub": "somebody", "email": "somebody@example.com",
		"iat": time.Now().Add(-2 * time.Hour).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	key := signer.own
	switch kind {
	case "valid":
	case "garbage":
		return "not.a.token", nil
	case "signed by another key":
		key = signer.stranger
	case "expired":
		claims["exp"] = time.Now().Add(-time.Hour).Unix()
	case "of another team":
		claims["iss"] = "https://another.cloudflareaccess.com"
	case "not signed":
		header["alg"] = "none"
	default:
		return "", fmt.Errorf("no kind of token: %q", kind)
	}
	first, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	second, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := encoded(first) + "." + encoded(second)
	if kind == "not signed" {
		return signed + ".", nil
	}
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	return signed + "." + encoded(signature), err
}

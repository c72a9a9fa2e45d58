// Checks that a webhook comes from Anchorwatch and is fresh (Standard Webhooks; standard library only).
//
// Call Verify with the raw body, before parsing it. Give all secrets that are good now: while one replaces another,
// that is both. On the command line the body is read from standard input:
//
//	go run . 'whsec_NEW whsec_OLD' WEBHOOK_ID WEBHOOK_TIMESTAMP WEBHOOK_SIGNATURE < body.json
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const tolerance = 5 * time.Minute

// Verify says whether one of the secrets signed this body under this id, within five minutes of now.
func Verify(secrets, id, timestamp, signatures string, body []byte, now time.Time) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return false
	}
	age := now.Sub(time.Unix(seconds, 0))
	if age > tolerance || age < -tolerance {
		return false // an old request, sent again by somebody else
	}
	genuine := false
	for _, secret := range strings.Fields(secrets) {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			continue
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, timestamp)
		mac.Write(body)
		expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		for _, signature := range strings.Fields(signatures) {
			genuine = hmac.Equal([]byte(expected), []byte(signature)) || genuine
		}
	}
	return genuine
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: verify SECRETS WEBHOOK_ID WEBHOOK_TIMESTAMP WEBHOOK_SIGNATURE < body")
		os.Exit(2)
	}
	body, err := io.ReadAll(os.Stdin)
	if err != nil || !Verify(os.Args[1], os.Args[2], os.Args[3], os.Args[4], body, time.Now()) {
		fmt.Println("NOT genuine: refuse it")
		os.Exit(1)
	}
	fmt.Println("genuine")
}

// The Go client: it knows metadata, and puts back the model that it read.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"os"

	"github.com/okta/okta-sdk-golang/v5/okta"
)

const kind = "com.okta.telephony.provider"

func well(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func must(what string, holds bool) {
	if !holds {
		log.Fatal(what)
	}
}

func main() {
	pem, err := os.ReadFile(os.Getenv("CA"))
	well("read the authority", err)
	roots := x509.NewCertPool()
	must("the authority is none", roots.AppendCertsFromPEM(pem))
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
	config, err := okta.NewConfiguration(okta.WithOrgUrl(os.Getenv("ORG")), okta.WithToken(os.Getenv("TOKEN")),
		okta.WithHttpClientPtr(&http.Client{Transport: transport}), okta.WithCache(false))
	well("configure", err)
	client, ctx := okta.NewAPIClient(config), context.Background()
	api := client.InlineHookAPI

	hook, channel := okta.NewInlineHook(), okta.NewInlineHookChannel()
	hook.SetName("by go")
	hook.SetType(kind)
	hook.SetVersion("1.0.0")
	hook.SetMetadata(map[string]string{"optOutServiceProtectionRateLimit": "true"})
	channel.SetType("HTTP")
	channel.SetVersion("1.0.0")
	channel.AdditionalProperties = map[string]any{"config": map[string]any{
		"uri": "https://otp.example.com/hook", "method": "POST", "headers": []any{},
		"authScheme": map[string]string{"type": "HEADER", "key": "Authorization", "value": "Basic eDp5"}}}
	hook.SetChannel(*channel)

	made, response, err := api.CreateInlineHook(ctx).InlineHook(*hook).Execute()
	well("create", err)
	must("it speaks HTTP/2", response.ProtoMajor == 2)
	id := made.GetId()
	list, _, err := api.ListInlineHooks(ctx).Type_(kind).Execute()
	well("list", err)
	must("one hook is listed", len(list) == 1 && list[0].GetId() == id)
	read, _, err := api.GetInlineHook(ctx, id).Execute()
	well("get", err)
	read.SetName("by go, renamed")
	put, _, err := api.ReplaceInlineHook(ctx, id).InlineHook(*read).Execute()
	well("replace", err)
	must("the name is new", put.GetName() == "by go, renamed")
	must("the metadata stays", put.GetMetadata()["optOutServiceProtectionRateLimit"] == "true")
	off, _, err := api.DeactivateInlineHook(ctx, id).Execute()
	well("deactivate", err)
	on, _, err := api.ActivateInlineHook(ctx, id).Execute()
	well("activate", err)
	must("the lifecycle changes the status", off.GetStatus() == "INACTIVE" && on.GetStatus() == "ACTIVE")
	_, _, err = api.DeactivateInlineHook(ctx, id).Execute()
	well("deactivate", err)
	_, err = api.DeleteInlineHook(ctx, id).Execute()
	well("delete", err)
	_, gone, err := api.GetInlineHook(ctx, id).Execute()
	must("it is gone", err != nil && gone.StatusCode == http.StatusNotFound)
	events, pages, err := client.SystemLogAPI.ListLogEvents(ctx).Filter(`eventType sw "inline_hook"`).Limit(2).Execute()
	well("read the log", err)
	must("the log goes on", len(events) == 2 && pages.HasNextPage())
	org, _, err := client.OrgSettingAPI.GetWellknownOrgMetadata(ctx).Execute()
	well("read the org's document", err)
	must("the org has an id", org.GetId() != "")
}
